// One result element from one element of each input.
#pragma once

#include "kernels/context.h"

namespace engine {

struct Unary {
  enum Op : uint8_t {
    affine,  // alpha x + beta
    abs,     // |x|; derivative 0 at 0
    square,  // x^2
    sqrt,    // x >= 0
    exp,
    log,         // x > 0
    relu,        // max(x, 0); derivative 0 at 0; NaN stays NaN
    leaky_relu,  // max(x, 0) + alpha min(x, 0), alpha of any sign; derivative alpha at 0; NaN stays NaN
    gelu,        // x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel, arXiv 1606.08415)
    gelu_tanh,   // the tanh approximation of gelu in the same paper
    silu,        // x sigmoid(x)
    tanh,
    sigmoid,
  };
  Op op = relu;
  double alpha = 1.0;
  double beta = 0.0;
};

// True when f'(x) is computed from y = f(x) alone, so that backward needs y and not x; otherwise it needs x and not y.
constexpr bool derivative_from_output(Unary::Op op) {
  return op == Unary::sqrt || op == Unary::exp || op == Unary::relu || op == Unary::tanh || op == Unary::sigmoid;
}

// True when f(x) = x.
constexpr bool is_identity(const Unary& f) { return f.op == Unary::affine && f.alpha == 1.0 && f.beta == 0.0; }

// y = f(x). x, y: same shape and float type, contiguous; y may be x.
ENGINE_KERNEL(unary_forward, const Unary& f, ConstView x, View y);

// dx = dy f'(x). `saved` is y where derivative_from_output(f.op), else x. All of one shape and type; dx may be dy.
ENGINE_KERNEL(unary_backward, const Unary& f, ConstView saved, ConstView dy, View dx);

enum class Binary : uint8_t { add, sub, mul, div };

// y = a op b. b has a's shape, or is repeated along a's outer axes: its shape is the innermost axes of a's, or one
// element. One float type, contiguous; y has a's shape and may be a.
ENGINE_KERNEL(binary_forward, Binary op, ConstView a, ConstView b, View y);

// y = f(x + bias), bias (C) along the innermost axis of x (..., C).
ENGINE_KERNEL(bias_activation_forward, const Unary& f, ConstView x, ConstView bias, View y);

}  // namespace engine
