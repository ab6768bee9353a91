// Products of matrices, one or many.
#pragma once

#include "kernels/context.h"
#include "kernels/pointwise.h"

namespace engine {

// y = f(a b + bias): a (..., M, K), b (..., K, N), y (..., M, N) of one float type, bias (N) or undefined. The outer
// axes of a, b and y are equal, or one of a and b has none and is used for every product. K = 0 (with y contiguous)
// gives f(bias). Strides: of the two innermost axes of a, and of b, one has stride 1 and the other at least the size of
// that one, so that a transposed matrix is a view; the same holds for y with stride 1 innermost. Outer strides are
// free. With a bias, or an f that is not is_identity(f), y is contiguous. y overlaps nothing. Terms are summed in f32
// (f64 in f64); a bf16 result is rounded once, after f.
ENGINE_KERNEL(matmul, const Unary& f, ConstView a, ConstView b, ConstView bias, View y);

// What follows the products where they are not fused with it: y = f(y + bias), bias (N) or undefined.
template <class Context>
void activate(Context& ctx, const Unary& f, const ConstView& bias, const View& y) {
  if (bias.defined())
    bias_activation_forward(ctx, f, y, bias, y);
  else if (!is_identity(f))
    unary_forward(ctx, f, y, y);
}

// Where all products share b: their rows as those of one matrix.
inline void merge_products(ConstView& a, const ConstView& b, View& y) {
  if (b.shape.rank() != 2 || a.shape.rank() != y.shape.rank() || !a.contiguous() || !y.contiguous()) return;
  const int64_t rows = y.shape.elements(0, y.shape.rank() - 1);
  a = ConstView(a.data, a.dtype, {rows, a.shape[-1]});
  y = View(y.memory(), y.dtype, {rows, y.shape[-1]});
}

// The gradients of y = x w^T + bias: dw = dy^T x and db = the sum of dy's rows, both assigned. dy (M, K), x (M, C),
// dw (K, C), db (K), of one float type, contiguous; M may be 0. Sums are taken as in matmul().
ENGINE_KERNEL(linear_backward_weight, ConstView dy, ConstView x, View dw, View db);

}  // namespace engine
