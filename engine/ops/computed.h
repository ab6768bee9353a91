// What ops have in common: new tensors that a kernel computes, without a gradient.
#pragma once

#include "engine/tensor.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"

namespace engine {

// kernel(ctx, y) assigns y, which is returned.
template <class Kernel>
Tensor computed(const Shape& shape, DType dtype, Device device, const Kernel& kernel) {
  const Tensor y = Tensor::empty(shape, dtype, device);
  compute(device, [&](auto& ctx) { kernel(ctx, View(y)); });
  return y;
}
// The same, of x's shape and type.
template <class Kernel>
Tensor computed_like(const Tensor& x, const Kernel& kernel) {
  return computed(x.shape(), x.dtype(), x.device(), kernel);
}

inline Tensor negated(const Tensor& x) {
  return computed_like(x, [&](auto& ctx, View y) { unary_forward(ctx, {Unary::affine, -1.0}, x, y); });
}

// dy f'(x), from what derivative_from_output() says is saved.
inline Tensor unary_gradient(const Unary& f, const Tensor& saved, const Tensor& dy) {
  return computed_like(saved, [&](auto& ctx, View dx) { unary_backward(ctx, f, saved, dy, dx); });
}

// The gradient of a tensor of `shape` that was repeated to g's shape: the sum over the repetitions.
inline Tensor sum_to(const Tensor& g, const Shape& shape) {
  if (g.shape() == shape) return g;
  const int64_t repeats = shape.elements() == 0 ? 0 : g.elements() / shape.elements();
  const ConstView rows(g.memory(), g.dtype(), {repeats, shape.elements()});
  return computed(shape, g.dtype(), g.device(), [&](auto& ctx, View sums) {
    reduce_forward(ctx, {Reduce::sum, 0, 1}, rows, View(sums.memory(), sums.dtype, {shape.elements()}));
  });
}

}  // namespace engine
