#include "kernels/pointwise.h"

#include <cmath>
#include <numbers>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace engine {
namespace {

// Each functor: value(x), and slope(s), the derivative, from what derivative_from_output() says is saved.
template <class T>
struct Affine {
  T alpha, beta;
  T value(T x) const { return alpha * x + beta; }
  T slope(T) const { return alpha; }
};
template <class T>
struct Abs {
  T value(T x) const { return std::abs(x); }
  T slope(T x) const { return x > 0 ? T(1) : x < 0 ? T(-1) : T(0); }
};
template <class T>
struct Square {
  T value(T x) const { return x * x; }
  T slope(T x) const { return 2 * x; }
};
template <class T>
struct Sqrt {
  T value(T x) const { return std::sqrt(x); }
  T slope(T y) const { return T(0.5) / y; }
};
template <class T>
struct Exp {
  T value(T x) const { return vector_math::exp(x); }
  T slope(T y) const { return y; }
};
template <class T>
struct Log {
  T value(T x) const { return std::log(x); }
  T slope(T x) const { return 1 / x; }
};
template <class T>
struct Relu {
  T value(T x) const { return x < 0 ? T(0) : x; }
  T slope(T y) const { return y > 0 ? T(1) : T(0); }
};
template <class T>
struct LeakyRelu {
  T alpha;
  T value(T x) const { return x < 0 ? alpha * x : x; }
  T slope(T x) const { return x > 0 ? T(1) : alpha; }
};
template <class T>
struct Gelu {
  T value(T x) const { return x * vector_math::normal(x).cdf; }
  T slope(T x) const {
    const vector_math::Normal<T> n = vector_math::normal(x);
    return n.cdf + x * n.density;
  }
};
// x (1 + tanh(u)) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): without the difference that loses digits.
template <class T>
struct GeluTanh {
  static constexpr T kScale = static_cast<T>(2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
  static constexpr T kCubic = T(0.044715);
  T value(T x) const { return x * vector_math::sigmoid(kScale * (x + kCubic * x * x * x)); }
  T slope(T x) const {
    const T s = vector_math::sigmoid(kScale * (x + kCubic * x * x * x));
    return s + x * s * (1 - s) * kScale * (1 + 3 * kCubic * x * x);
  }
};
template <class T>
struct Silu {
  T value(T x) const { return x * vector_math::sigmoid(x); }
  T slope(T x) const {
    const T s = vector_math::sigmoid(x);
    return s * (1 + x * (1 - s));
  }
};
template <class T>
struct Tanh {
  T value(T x) const { return vector_math::tanh(x); }
  T slope(T y) const { return 1 - y * y; }
};
template <class T>
struct Sigmoid {
  T value(T x) const { return vector_math::sigmoid(x); }
  T slope(T y) const { return y * (1 - y); }
};

template <class T, class F>
void with_functor(const Unary& f, const F& body) {
  switch (f.op) {
    case Unary::affine:
      return body(Affine<T>{static_cast<T>(f.alpha), static_cast<T>(f.beta)});
    case Unary::abs:
      return body(Abs<T>{});
    case Unary::square:
      return body(Square<T>{});
    case Unary::sqrt:
      return body(Sqrt<T>{});
    case Unary::exp:
      return body(Exp<T>{});
    case Unary::log:
      return body(Log<T>{});
    case Unary::relu:
      return body(Relu<T>{});
    case Unary::leaky_relu:
      return body(LeakyRelu<T>{static_cast<T>(f.alpha)});
    case Unary::gelu:
      return body(Gelu<T>{});
    case Unary::gelu_tanh:
      return body(GeluTanh<T>{});
    case Unary::silu:
      return body(Silu<T>{});
    case Unary::tanh:
      return body(Tanh<T>{});
    case Unary::sigmoid:
      return body(Sigmoid<T>{});
  }
}

template <class T, class F>
void with_operator(Binary op, const F& body) {
  switch (op) {
    case Binary::add:
      return body([](T a, T b) { return a + b; });
    case Binary::sub:
      return body([](T a, T b) { return a - b; });
    case Binary::mul:
      return body([](T a, T b) { return a * b; });
    case Binary::div:
      return body([](T a, T b) { return a / b; });
  }
}

// out[i] = f(a[i], b[i % period]), where period divides count: whole rows of b, so that the inner loop vectorises.
template <class T, class F>
void for_each_pair(int64_t count, int64_t period, const T* a, const T* b, T* out, const F& f) {
  if (period == 1 && count > 1) {
    const T value = *b;
    parallel_for(count, kPointwiseGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) out[i] = f(a[i], value);
    });
    return;
  }
  if (period == count) {
    parallel_for(count, kPointwiseGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) out[i] = f(a[i], b[i]);
    });
    return;
  }
  parallel_for(count / period, std::max<int64_t>(1, kPointwiseGrain / period), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* a_row = a + row * period;
      T* out_row = out + row * period;
#pragma omp simd
      for (int64_t i = 0; i < period; ++i) out_row[i] = f(a_row[i], b[i]);
    }
  });
}

}  // namespace

void unary_forward(CpuContext& ctx, const Unary& f, ConstView x, View y) {
  if (x.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { unary_forward(ctx, f, v...); }, x, y);
  dispatch_float(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    T* out = y.as<T>();
    with_functor<T>(f, [&](auto functor) {
      parallel_for(x.elements(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) out[i] = functor.value(in[i]);
      });
    });
  });
}

void unary_backward(CpuContext& ctx, const Unary& f, ConstView saved, ConstView dy, View dx) {
  if (saved.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { unary_backward(ctx, f, v...); }, saved, dy, dx);
  dispatch_float(saved.dtype, [&]<class T>() {
    const T *in = saved.as<T>(), *upstream = dy.as<T>();
    T* out = dx.as<T>();
    with_functor<T>(f, [&](auto functor) {
      parallel_for(saved.elements(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) out[i] = upstream[i] * functor.slope(in[i]);
      });
    });
  });
}

void binary_forward(CpuContext& ctx, Binary op, ConstView a, ConstView b, View y) {
  if (a.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { binary_forward(ctx, op, v...); }, a, b, y);
  dispatch_float(a.dtype, [&]<class T>() {
    with_operator<T>(op,
                     [&](auto f) { for_each_pair(a.elements(), b.elements(), a.as<T>(), b.as<T>(), y.as<T>(), f); });
  });
}

void bias_activation_forward(CpuContext& ctx, const Unary& f, ConstView x, ConstView bias, View y) {
  if (x.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { bias_activation_forward(ctx, f, v...); }, x, bias, y);
  dispatch_float(x.dtype, [&]<class T>() {
    with_functor<T>(f, [&](auto functor) {
      for_each_pair(x.elements(), bias.elements(), x.as<T>(), bias.as<T>(), y.as<T>(),
                    [functor](T value, T b) { return functor.value(value + b); });
    });
  });
}

}  // namespace engine
