#include "kernels/matmul.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"

namespace engine {
namespace {

ConstView view_of(const Tensor& x) { return x; }
ConstView transposed_if(bool wanted, const Tensor& x) { return wanted ? transposed(view_of(x)) : x; }

// a b, or its transpose b^T a^T, of the given shape.
Tensor product(bool transpose, ConstView a, ConstView b, const Shape& shape, Device device) {
  if (transpose) return product(false, transposed(b), transposed(a), shape, device);
  return computed(shape, a.dtype, device, [&](auto& ctx, View y) { matmul(ctx, {Unary::affine}, a, b, {}, y); });
}

// x (..., C) as one matrix (rows, C).
Tensor as_rows(const Tensor& x) { return x.detach().reshape({x.shape().elements(0, x.rank() - 1), x.size(-1)}); }

void check_matmul(const Tensor& a, const Tensor& b, const Matmul& p) {
  ENGINE_CHECK(is_float(a.dtype()) && a.dtype() == b.dtype(), "matmul: expected two tensors of one float type, got ",
               a.dtype(), " and ", b.dtype());
  ENGINE_CHECK(a.rank() >= 2 && b.rank() >= 2, "matmul: expected (..., M, K) and (..., K, N), got ", a.shape(), " and ",
               b.shape(), "; reshape a vector to a matrix");
  const int64_t a_terms = a.size(p.transpose_a ? -2 : -1), b_terms = b.size(p.transpose_b ? -1 : -2);
  ENGINE_CHECK(a_terms == b_terms, "matmul: ", a.shape(), p.transpose_a ? " transposed" : "", " by ", b.shape(),
               p.transpose_b ? " transposed" : "", ": K is ", a_terms, " on the left and ", b_terms, " on the right");
  const Shape outer_a = a.shape().slice(0, a.rank() - 2), outer_b = b.shape().slice(0, b.rank() - 2);
  ENGINE_CHECK(outer_b.rank() == 0 || outer_a == outer_b, "matmul: the outer axes of ", a.shape(), " and ", b.shape(),
               " differ; they must be equal, or the right side a single matrix");
}

// The gradient of b where it serves every product: the sum over the products.
Tensor shared_gradient(const Tensor& a, const Tensor& b, const Matmul& p, const Tensor& dy) {
  if (!p.transpose_a) {  // rows of all products at once
    const Tensor left = as_rows(a), right = as_rows(dy);
    return product(p.transpose_b, transposed(view_of(left)), right, b.shape(), b.device());
  }
  Shape shape = a.shape();
  shape[-2] = b.size(0);
  shape[-1] = b.size(1);
  return sum_to(product(p.transpose_b, a, dy, shape, b.device()), b.shape());
}

}  // namespace

// y = A B, where A is a or its transpose and B likewise: dA = dy B^T and dB = A^T dy, or the transposes of these.
Tensor matmul(const Tensor& a, const Tensor& b, const Matmul& p) {
  check_matmul(a, b, p);
  const ConstView left = transposed_if(p.transpose_a, a), right = transposed_if(p.transpose_b, b);
  Shape shape = left.shape;
  shape[-1] = right.shape[-1];
  const ProfiledPass pass = forward_pass("matmul", a, 2.0 * shape.elements() * left.shape[-1]);
  const Tensor y = product(false, left, right, shape, a.device());
  return record("matmul", {a, b}, y,
                [=, a = a.detach(), b = b.detach(), da = needs_grad(a), db = needs_grad(b)](const Grads& dy) {
                  const ConstView A = transposed_if(p.transpose_a, a), B = transposed_if(p.transpose_b, b), g = dy[0];
                  Grads grads(2);
                  if (da) grads[0] = product(p.transpose_a, g, transposed(B), a.shape(), a.device());
                  if (db && b.rank() < a.rank())
                    grads[1] = shared_gradient(a, b, p, dy[0]);
                  else if (db)
                    grads[1] = product(p.transpose_b, transposed(A), g, b.shape(), b.device());
                  return grads;
                });
}

// z = x w^T + bias, y = f(z): dz = dy f'(z), dx = dz w, dw = dz^T x, dbias = sum of the rows of dz. Where f' is
// computed from z, that is kept, and y is written beside it.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, const Unary& f) {
  ENGINE_CHECK(is_float(x.dtype()) && x.dtype() == w.dtype() && (!bias || bias.dtype() == x.dtype()),
               "linear: expected tensors of one float type, got x ", x.dtype(), " and w ", w.dtype());
  ENGINE_CHECK(x.rank() >= 1 && w.rank() == 2 && x.size(-1) == w.size(1),
               "linear: expected x (..., C) and w (K, C), got ", x.shape(), " and ", w.shape());
  ENGINE_CHECK(!bias || bias.shape() == Shape{w.size(0)}, "linear: expected bias (", w.size(0), ") for w ", w.shape(),
               ", got ", bias.shape());
  Shape shape = x.shape();
  shape[-1] = w.size(0);
  const ProfiledPass pass = forward_pass("linear", x, 2.0 * shape.elements() * w.size(1));
  const Tensor rows = as_rows(x), y = Tensor::empty(shape, x.dtype(), x.device());
  const bool separate = !is_identity(f) && !derivative_from_output(f.op);
  const bool recorded = needs_grad(x) || needs_grad(w) || (bias && needs_grad(bias));
  const Tensor z = separate && recorded ? Tensor::empty_like(y) : y;
  compute(x.device(), [&](auto& ctx) {
    matmul(ctx, separate ? Unary{Unary::affine} : f, rows, transposed(view_of(w)), bias, as_rows(z));
    if (separate) unary_forward(ctx, f, z, y);
  });
  return record("linear", {x, w, bias}, y,
                [=, z = z.detach(), w = w.detach(), x_shape = x.shape(), dx = needs_grad(x), dw = needs_grad(w),
                 dbias = bias && needs_grad(bias)](const Grads& dy) {
                  const Tensor dz = is_identity(f) ? dy[0] : unary_gradient(f, z, dy[0]);
                  const Tensor dz_rows = as_rows(dz);
                  Grads grads(3);
                  if (dx) grads[0] = product(false, dz_rows, w, rows.shape(), w.device()).reshape(x_shape);
                  if (dw && dbias) {
                    grads[1] = Tensor::empty_like(w), grads[2] = Tensor::empty({w.size(0)}, w.dtype(), w.device());
                    compute(w.device(),
                            [&](auto& ctx) { linear_backward_weight(ctx, dz_rows, rows, grads[1], grads[2]); });
                  } else if (dw) {
                    grads[1] = product(false, transposed(view_of(dz_rows)), rows, w.shape(), w.device());
                  } else if (dbias) {
                    grads[2] = sum_to(dz_rows, {w.size(0)});
                  }
                  return grads;
                });
}

}  // namespace engine
