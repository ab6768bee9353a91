// Pooling of clips: (N, T, H, W, C) -> (N, O, P, Q, C).
#pragma once

#include "layers/module.h"

namespace engine::layers {

class MaxPool3d : public Module {
 public:
  explicit MaxPool3d(const Pool3d& pool = {}) : pool_(pool) {}
  std::string describe() const override { return concat("MaxPool3d ", text_of(pool_.kernel(), true)); }

 protected:
  Tensor forward(const Tensor& x) override { return max_pool3d(x, pool_); }

 private:
  Pool3d pool_;
};

class AveragePool3d : public Module {
 public:
  explicit AveragePool3d(const Pool3d& pool = {}) : pool_(pool) {}
  std::string describe() const override { return concat("AveragePool3d ", text_of(pool_.kernel(), true)); }

 protected:
  Tensor forward(const Tensor& x) override { return average_pool3d(x, pool_); }

 private:
  Pool3d pool_;
};

}  // namespace engine::layers
