#include "kernels/pointwise.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"

namespace engine {
namespace {

Tensor unary(const char* name, const Tensor& x, const Unary& f) {
  ENGINE_CHECK(is_float(x.dtype()), name, ": expected a float tensor, got ", x.shape(), " ", x.dtype());
  const ProfiledPass pass = forward_pass(name, x);
  const Tensor y = computed_like(x, [&](auto& ctx, View to) { unary_forward(ctx, f, x, to); });
  const Tensor saved = (derivative_from_output(f.op) ? y : x).detach();
  return record(name, {x}, y, [=](const Grads& dy) { return Grads{unary_gradient(f, saved, dy[0])}; });
}

void check_pair(const char* name, const Tensor& a, const Tensor& b) {
  ENGINE_CHECK(is_float(a.dtype()) && a.dtype() == b.dtype(), name, ": expected two tensors of one float type, got ",
               a.dtype(), " and ", b.dtype());
  const int extra = a.rank() - b.rank();
  const bool fits = b.elements() == 1 || (extra >= 0 && a.shape().slice(extra, a.rank()) == b.shape());
  ENGINE_CHECK(fits, name, ": shape ", b.shape(), " does not fit onto ", a.shape(),
               "; expected the same shape, its innermost axes, or one element");
}

Tensor apply(Binary op, const Tensor& a, const Tensor& b) {
  return computed_like(a, [&](auto& ctx, View y) { binary_forward(ctx, op, a, b, y); });
}

// The forward pass of op `name`.
Tensor binary(const char* name, Binary op, const Tensor& a, const Tensor& b) {
  check_pair(name, a, b);
  const ProfiledPass pass = forward_pass(name, a);
  return apply(op, a, b);
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  return record("add", {a, b}, binary("add", Binary::add, a, b), [shape = b.shape()](const Grads& dy) {
    return Grads{dy[0], sum_to(dy[0], shape)};
  });
}

Tensor sub(const Tensor& a, const Tensor& b) {
  return record("sub", {a, b}, binary("sub", Binary::sub, a, b), [shape = b.shape()](const Grads& dy) {
    return Grads{dy[0], negated(sum_to(dy[0], shape))};
  });
}

Tensor mul(const Tensor& a, const Tensor& b) {
  return record("mul", {a, b}, binary("mul", Binary::mul, a, b),
                [a = a.detach(), b = b.detach(), da = needs_grad(a), db = needs_grad(b)](const Grads& dy) {
                  return Grads{da ? apply(Binary::mul, dy[0], b) : Tensor(),
                               db ? sum_to(apply(Binary::mul, dy[0], a), b.shape()) : Tensor()};
                });
}

// y = a / b: da = dy / b, db = -dy y / b summed over the repetitions of b.
Tensor div(const Tensor& a, const Tensor& b) {
  const Tensor y = binary("div", Binary::div, a, b);
  return record("div", {a, b}, y, [b = b.detach(), y = y.detach()](const Grads& dy) {
    const Tensor da = apply(Binary::div, dy[0], b);
    return Grads{da, negated(sum_to(apply(Binary::mul, da, y), b.shape()))};
  });
}

Tensor affine(const Tensor& x, double scale, double shift) { return unary("affine", x, {Unary::affine, scale, shift}); }
Tensor abs(const Tensor& x) { return unary("abs", x, {Unary::abs}); }
Tensor square(const Tensor& x) { return unary("square", x, {Unary::square}); }
Tensor sqrt(const Tensor& x) { return unary("sqrt", x, {Unary::sqrt}); }
Tensor exp(const Tensor& x) { return unary("exp", x, {Unary::exp}); }
Tensor log(const Tensor& x) { return unary("log", x, {Unary::log}); }
Tensor relu(const Tensor& x) { return unary("relu", x, {Unary::relu}); }
Tensor leaky_relu(const Tensor& x, double slope) { return unary("leaky_relu", x, {Unary::leaky_relu, slope}); }
Tensor gelu(const Tensor& x) { return unary("gelu", x, {Unary::gelu}); }
Tensor gelu_tanh(const Tensor& x) { return unary("gelu_tanh", x, {Unary::gelu_tanh}); }
Tensor silu(const Tensor& x) { return unary("silu", x, {Unary::silu}); }
Tensor tanh(const Tensor& x) { return unary("tanh", x, {Unary::tanh}); }
Tensor sigmoid(const Tensor& x) { return unary("sigmoid", x, {Unary::sigmoid}); }

Tensor bias_activation(const Tensor& x, const Tensor& bias, const Unary& f) {
  check_pair("bias_activation", x, bias);
  ENGINE_CHECK(bias.rank() == 1 && x.rank() >= 1 && bias.size(0) == x.size(-1),
               "bias_activation: expected bias (C) for x (..., C), got ", bias.shape(), " for ", x.shape());
  const ProfiledPass pass = forward_pass("bias_activation", x);
  const Tensor y = computed_like(x, [&](auto& ctx, View to) { bias_activation_forward(ctx, f, x, bias, to); });
  const bool from_output = derivative_from_output(f.op);
  return record("bias_activation", {x, bias}, y,
                [=, saved = (from_output ? y : x).detach(), b = bias.detach()](const Grads& dy) {
                  const Tensor at = from_output ? saved : apply(Binary::add, saved, b);
                  const Tensor dx = unary_gradient(f, at, dy[0]);
                  return Grads{dx, sum_to(dx, b.shape())};
                });
}

}  // namespace engine
