// Layers without parameters.
#pragma once

#include "layers/module.h"

namespace engine::layers {

// (N, H, W, C) -> (N, P, Q, C)
template <Tensor (*pool2d)(const Tensor& x, const Pool2d& p)>
class PoolOfImages : public Module {
 public:
  explicit PoolOfImages(const Pool2d& pool = {}) : pool_(pool) {}
  std::string describe() const override {
    return concat(pool2d == max_pool2d ? "MaxPool2d " : "AveragePool2d ", pool_.kernel_h, "x", pool_.kernel_w);
  }

 protected:
  Tensor forward(const Tensor& x) override { return pool2d(x, pool_); }

 private:
  Pool2d pool_;
};

using MaxPool2d = PoolOfImages<max_pool2d>;
using AveragePool2d = PoolOfImages<average_pool2d>;

// (N, ..., C) -> (N, C)
class GlobalAveragePool : public Module {
 public:
  std::string describe() const override { return "GlobalAveragePool"; }

 protected:
  Tensor forward(const Tensor& x) override { return global_average_pool(x); }
};

}  // namespace engine::layers
