#include "layers/norm.h"

namespace engine::layers {

LayerNorm::LayerNorm(int64_t features, const engine::LayerNorm& norm) : norm_(norm) {
  weight_ = add_parameter("weight", Tensor::full({features}, 1.0), true);
  bias_ = add_parameter("bias", Tensor::zeros({features}), true);
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps) : groups_(groups), eps_(eps) {
  weight_ = add_parameter("weight", Tensor::full({channels}, 1.0), true);
  bias_ = add_parameter("bias", Tensor::zeros({channels}), true);
}

BatchNorm::BatchNorm(int64_t channels, const engine::BatchNorm& norm, const Unary& activation)
    : norm_(norm), activation_(activation) {
  weight_ = add_parameter("weight", Tensor::full({channels}, 1.0), true);
  bias_ = add_parameter("bias", Tensor::zeros({channels}), true);
  running_mean_ = add_buffer("running_mean", Tensor::zeros({channels}));
  running_var_ = add_buffer("running_var", Tensor::full({channels}, 1.0));
}

Tensor BatchNorm::with_residual(const Tensor& x, const Tensor& residual) {
  const LayerScope here = scope();
  return batch_norm(x, weight_, bias_, running_mean_, running_var_, training(), norm_, residual, activation_);
}

}  // namespace engine::layers
