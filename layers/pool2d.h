// Layers without parameters.
#pragma once

#include "layers/module.h"

namespace engine::layers {

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(const Pool2d& pool = {}) : pool_(pool) {}
  std::string describe() const override { return concat("MaxPool2d ", pool_.kernel_h, "x", pool_.kernel_w); }

 protected:
  Tensor forward(const Tensor& x) override { return max_pool2d(x, pool_); }

 private:
  Pool2d pool_;
};

class AveragePool2d : public Module {
 public:
  explicit AveragePool2d(const Pool2d& pool = {}) : pool_(pool) {}
  std::string describe() const override { return concat("AveragePool2d ", pool_.kernel_h, "x", pool_.kernel_w); }

 protected:
  Tensor forward(const Tensor& x) override { return average_pool2d(x, pool_); }

 private:
  Pool2d pool_;
};

// (N, ..., C) -> (N, C)
class GlobalAveragePool : public Module {
 public:
  std::string describe() const override { return "GlobalAveragePool"; }

 protected:
  Tensor forward(const Tensor& x) override { return global_average_pool(x); }
};

}  // namespace engine::layers
