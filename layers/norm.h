#pragma once

#include "layers/module.h"

namespace engine::layers {

// Over the innermost axis (kernels/norm.h). Parameters: weight and bias (features), 1 and 0 at first.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t features, const engine::LayerNorm& norm = {});
  std::string describe() const override { return concat("LayerNorm ", weight_.size(0)); }

  // {layer_norm(sum), sum}, sum = dropout(x) + residual, fused.
  std::vector<Tensor> with_residual(const Tensor& x, const Tensor& residual, double dropout) const {
    const LayerScope here = scope();
    return residual_layer_norm(x, residual, weight_, bias_, norm_, dropout);
  }

 protected:
  Tensor forward(const Tensor& x) override { return layer_norm(x, weight_, bias_, norm_); }

 private:
  engine::LayerNorm norm_;
  Tensor weight_, bias_;
};

// Over each sample's groups of neighbouring channels (op group_norm). Parameters: weight and bias (channels), 1 and 0
// at first.
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps = 1e-5);
  std::string describe() const override { return concat("GroupNorm ", weight_.size(0), ", ", groups_, " groups"); }

 protected:
  Tensor forward(const Tensor& x) override { return group_norm(x, weight_, bias_, groups_, eps_); }

 private:
  int64_t groups_;
  double eps_;
  Tensor weight_, bias_;
};

// Per channel of x (N, ..., channels). Parameters: weight and bias (channels), 1 and 0 at first. Buffers: running_mean
// and running_var (channels), 0 and 1 at first, which evaluation uses and training updates.
class BatchNorm : public Module {
 public:
  explicit BatchNorm(int64_t channels, const engine::BatchNorm& norm = {}, const Unary& activation = {Unary::affine});
  std::string describe() const override { return concat("BatchNorm ", weight_.size(0)); }

  // f(batch_norm(x) + residual), fused.
  Tensor with_residual(const Tensor& x, const Tensor& residual);

 protected:
  Tensor forward(const Tensor& x) override { return with_residual(x, {}); }

 private:
  engine::BatchNorm norm_;
  Unary activation_;
  Tensor weight_, bias_, running_mean_, running_var_;
};

}  // namespace engine::layers
