// The functions of Unary, their derivatives, and those of Binary, for one element, for the loops of every backend.
#pragma once

#include <cmath>
#include <functional>
#include <numbers>

#include "kernels/pointwise.h"

namespace engine {

// Calls body with the functor of op; there is one for each up to kLast, in their order.
template <auto kLast, class F, class... Functors>
void dispatch_op(decltype(kLast) op, const F& body, const Functors&... functors) {
  static_assert(sizeof...(functors) == static_cast<size_t>(kLast) + 1);
  size_t i = 0;
  ((i++ == static_cast<size_t>(op) ? body(functors) : void()), ...);
}

// Calls body with the functor of op.
template <class T, class F>
void dispatch_binary(Binary op, const F& body) {
  dispatch_op<Binary::div>(op, body, std::plus<T>(), std::minus<T>(), std::multiplies<T>(), std::divides<T>());
}

// Each functor: value(x), and slope(s), the derivative, from what derivative_from_output() says is saved. Math has a
// backend's exp(x), tanh(x), sigmoid(x) and normal(x): the normal distribution's function (.cdf) and .density.
template <class T, class Math>
struct Activations {
  struct Affine {
    T alpha, beta;
    constexpr T value(T x) const { return alpha * x + beta; }
    constexpr T slope(T) const { return alpha; }
  };
  struct Abs {
    constexpr T value(T x) const { return std::abs(x); }
    constexpr T slope(T x) const { return x > 0 ? T(1) : x < 0 ? T(-1) : T(0); }
  };
  struct Square {
    constexpr T value(T x) const { return x * x; }
    constexpr T slope(T x) const { return 2 * x; }
  };
  struct Sqrt {
    constexpr T value(T x) const { return std::sqrt(x); }
    constexpr T slope(T y) const { return T(0.5) / y; }
  };
  struct Exp {
    constexpr T value(T x) const { return Math::exp(x); }
    constexpr T slope(T y) const { return y; }
  };
  struct Log {
    constexpr T value(T x) const { return std::log(x); }
    constexpr T slope(T x) const { return 1 / x; }
  };
  struct Relu {
    constexpr T value(T x) const { return x < 0 ? T(0) : x; }
    constexpr T slope(T y) const { return y > 0 ? T(1) : T(0); }
  };
  struct LeakyRelu {
    T alpha;
    constexpr T value(T x) const { return x < 0 ? alpha * x : x; }
    constexpr T slope(T x) const { return x > 0 ? T(1) : alpha; }
  };
  struct Gelu {
    constexpr T value(T x) const { return x * Math::normal(x).cdf; }
    constexpr T slope(T x) const {
      const auto normal = Math::normal(x);
      return normal.cdf + x * normal.density;
    }
  };
  // x (1 + tanh(u)) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): without the difference that loses
  // digits.
  struct GeluTanh {
    static constexpr T kScale = static_cast<T>(2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
    static constexpr T kCubic = T(0.044715);
    constexpr T value(T x) const { return x * Math::sigmoid(kScale * (x + kCubic * x * x * x)); }
    constexpr T slope(T x) const {
      const T s = Math::sigmoid(kScale * (x + kCubic * x * x * x));
      return s + x * s * (1 - s) * kScale * (1 + 3 * kCubic * x * x);
    }
  };
  struct Silu {
    constexpr T value(T x) const { return x * Math::sigmoid(x); }
    constexpr T slope(T x) const {
      const T s = Math::sigmoid(x);
      return s * (1 + x * (1 - s));
    }
  };
  struct Tanh {
    constexpr T value(T x) const { return Math::tanh(x); }
    constexpr T slope(T y) const { return 1 - y * y; }
  };
  struct Sigmoid {
    constexpr T value(T x) const { return Math::sigmoid(x); }
    constexpr T slope(T y) const { return y * (1 - y); }
  };

  // Calls body with the functor of f.
  template <class F>
  static void dispatch(const Unary& f, const F& body) {
    const T alpha = static_cast<T>(f.alpha), beta = static_cast<T>(f.beta);
    dispatch_op<Unary::sigmoid>(f.op, body, Affine{alpha, beta}, Abs{}, Square{}, Sqrt{}, Exp{}, Log{}, Relu{},
                                LeakyRelu{alpha}, Gelu{}, GeluTanh{}, Silu{}, Tanh{}, Sigmoid{});
  }
};

}  // namespace engine
