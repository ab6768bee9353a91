#pragma once

#include "layers/module.h"

namespace engine::layers {

// (N, T, H, W, C) -> (N, O, P, Q, C)
template <Tensor (*pool3d)(const Tensor& x, const Pool3d& p)>
class PoolOfClips : public Module {
 public:
  explicit PoolOfClips(const Pool3d& pool = {}) : pool_(pool) {}
  std::string describe() const override {
    return concat(pool3d == max_pool3d ? "MaxPool3d " : "AveragePool3d ", text_of(pool_.kernel(), true));
  }

 protected:
  Tensor forward(const Tensor& x) override { return pool3d(x, pool_); }

 private:
  Pool3d pool_;
};

using MaxPool3d = PoolOfClips<max_pool3d>;
using AveragePool3d = PoolOfClips<average_pool3d>;

}  // namespace engine::layers
