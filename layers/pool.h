// Layers without parameters.
#pragma once

#include "layers/module.h"

namespace engine::layers {

// Of images, with Pool2d: (N, H, W, C) -> (N, P, Q, C). Of clips, with Pool3d: (N, T, H, W, C) -> (N, O, P, Q, C).
template <class Pool, Tensor (*op)(const Tensor& x, const Pool& p)>
class PoolLayer : public Module {
 public:
  explicit PoolLayer(const Pool& pool = {}) : pool_(pool) {}
  std::string describe() const override {
    if constexpr (std::is_same_v<Pool, Pool2d>)
      return concat(op == max_pool2d ? "MaxPool2d " : "AveragePool2d ", pool_.kernel_h, "x", pool_.kernel_w);
    else
      return concat(op == max_pool3d ? "MaxPool3d " : "AveragePool3d ", text_of(pool_.kernel(), true));
  }

 protected:
  Tensor forward(const Tensor& x) override { return op(x, pool_); }

 private:
  Pool pool_;
};

using MaxPool2d = PoolLayer<Pool2d, max_pool2d>;
using AveragePool2d = PoolLayer<Pool2d, average_pool2d>;
using MaxPool3d = PoolLayer<Pool3d, max_pool3d>;
using AveragePool3d = PoolLayer<Pool3d, average_pool3d>;

// (N, ..., C) -> (N, C)
class GlobalAveragePool : public Module {
 public:
  std::string describe() const override { return "GlobalAveragePool"; }

 protected:
  Tensor forward(const Tensor& x) override { return global_average_pool(x); }
};

}  // namespace engine::layers
