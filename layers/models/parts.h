// What the convolutional networks of the field share.
#pragma once

#include "layers/module.h"

namespace engine::layers {

// A number in a Sequential whose work the layer before it does: an activation that is fused. It keeps the numbers of
// the layers behind it those of the original, which parameters are named by.
class Fused : public Module {
 public:
  std::string describe() const override { return "(done by the layer before)"; }

 protected:
  Tensor forward(const Tensor& x) override { return x; }
};

// Throws Error, in the name of `model`, unless x is images (rank 4: N, H, W, channels) or clips (rank 5: N, T, H, W,
// channels) with both sides of `least_side` pixels at least.
void check_input(const Module& model, const Tensor& x, int rank, int64_t channels, int64_t least_side);

// Scales the weights of every convolution of `model` to the variance 2 / (outputs * elements of the kernel), which
// keeps the variance of gradients through layers followed by ReLU (He, Zhang, Ren and Sun, arXiv 1502.01852), or those
// of every linear layer to a deviation. The originals draw from normal distributions; these stay uniform.
void scale_convolutions(const Module& model);
void scale_linear(const Module& model, double deviation);

}  // namespace engine::layers
