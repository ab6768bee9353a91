// What the convolutional networks of the field share.
#pragma once

#include "layers/drop_path.h"
#include "layers/norm.h"

namespace engine::layers {

// A number in a Sequential whose work the layer before it does: an activation that is fused. It keeps the numbers of
// the layers behind it those of the original, which parameters are named by.
class Fused : public Module {
 public:
  std::string describe() const override { return "(done by the layer before)"; }

 protected:
  Tensor forward(const Tensor& x) override { return x; }
};

// The probability of drop path in residual block `index` of `count`, by the linear rule (Huang et al., arXiv
// 1603.09382): 0 in the first, `last` in the last.
inline double drop_path_at(double last, int64_t index, int64_t count) {
  return count > 1 ? last * static_cast<double>(index) / static_cast<double>(count - 1) : last;
}
// The end of a residual block, relu(norm(x) + shortcut). Where `drop` is not null it works on norm(x), and the norm has
// no activation of its own; otherwise that is relu.
Tensor residual_relu(const Tensor& x, const Tensor& shortcut, BatchNorm& norm, DropPath* drop);

// f(x), of which nothing is kept but x: the backward pass computes f again (Chen et al., arXiv 1604.06174), with the
// same draws, and statistics of batch norms move once. f computes with the parameters of `module` and no others; both
// must outlive the graph. Just f(x) where nothing is recorded.
Tensor recomputed(Module& module, const std::function<Tensor(const Tensor& x)>& f, const Tensor& x);

// Throws Error, in the name of `model`, unless x is images (rank 4: N, H, W, channels) or clips (rank 5: N, T, H, W,
// channels) with both sides of `least_side` pixels at least.
void check_input(const Module& model, const Tensor& x, int rank, int64_t channels, int64_t least_side);

// Scales the weights of every convolution of `model` to the variance 2 / (outputs * elements of the kernel), which
// keeps the variance of gradients through layers followed by ReLU (He, Zhang, Ren and Sun, arXiv 1502.01852), or those
// of every linear layer to a deviation. The originals draw from normal distributions; these stay uniform.
void scale_convolutions(const Module& model);
void scale_linear(const Module& model, double deviation);

}  // namespace engine::layers
