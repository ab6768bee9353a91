// The functions of Unary and their derivatives for one element, in float; what kernels/cpu/pointwise.cpp says of each
// holds here.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/pointwise.h"

namespace engine::activation {

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ inline float normal_cdf(float x) { return 0.5f * erfcf(-0.707106781f * x); }
__device__ inline float normal_density(float x) { return 0.398942280f * expf(-0.5f * x * x); }

// Each functor: value(x), and slope(s), the derivative, from what derivative_from_output() says is saved.
struct Affine {
  float alpha, beta;
  __device__ float value(float x) const { return alpha * x + beta; }
  __device__ float slope(float) const { return alpha; }
};
struct Abs {
  __device__ float value(float x) const { return fabsf(x); }
  __device__ float slope(float x) const { return x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f; }
};
struct Square {
  __device__ float value(float x) const { return x * x; }
  __device__ float slope(float x) const { return 2 * x; }
};
struct Sqrt {
  __device__ float value(float x) const { return sqrtf(x); }
  __device__ float slope(float y) const { return 0.5f / y; }
};
struct Exp {
  __device__ float value(float x) const { return expf(x); }
  __device__ float slope(float y) const { return y; }
};
struct Log {
  __device__ float value(float x) const { return logf(x); }
  __device__ float slope(float x) const { return 1 / x; }
};
struct Relu {
  __device__ float value(float x) const { return x < 0 ? 0.0f : x; }
  __device__ float slope(float y) const { return y > 0 ? 1.0f : 0.0f; }
};
struct LeakyRelu {
  float alpha;
  __device__ float value(float x) const { return x > 0 ? x : alpha * x; }
  __device__ float slope(float x) const { return x > 0 ? 1.0f : alpha; }
};
struct Gelu {
  __device__ float value(float x) const { return x * normal_cdf(x); }
  __device__ float slope(float x) const { return normal_cdf(x) + x * normal_density(x); }
};
struct GeluTanh {
  static constexpr float kScale = 1.59576912f, kCubic = 0.044715f;  // 2 sqrt(2 / pi)
  __device__ float value(float x) const { return x * sigmoid(kScale * (x + kCubic * x * x * x)); }
  __device__ float slope(float x) const {
    const float s = sigmoid(kScale * (x + kCubic * x * x * x));
    return s + x * s * (1 - s) * kScale * (1 + 3 * kCubic * x * x);
  }
};
struct Silu {
  __device__ float value(float x) const { return x * sigmoid(x); }
  __device__ float slope(float x) const {
    const float s = sigmoid(x);
    return s * (1 + x * (1 - s));
  }
};
struct Tanh {
  __device__ float value(float x) const { return tanhf(x); }
  __device__ float slope(float y) const { return 1 - y * y; }
};
struct Sigmoid {
  __device__ float value(float x) const { return sigmoid(x); }
  __device__ float slope(float y) const { return y * (1 - y); }
};

// Calls body with the functor of f.
template <class F>
void with_functor(const Unary& f, const F& body) {
  const auto alpha = static_cast<float>(f.alpha), beta = static_cast<float>(f.beta);
  switch (f.op) {
    case Unary::affine:
      return body(Affine{alpha, beta});
    case Unary::abs:
      return body(Abs{});
    case Unary::square:
      return body(Square{});
    case Unary::sqrt:
      return body(Sqrt{});
    case Unary::exp:
      return body(Exp{});
    case Unary::log:
      return body(Log{});
    case Unary::relu:
      return body(Relu{});
    case Unary::leaky_relu:
      return body(LeakyRelu{alpha});
    case Unary::gelu:
      return body(Gelu{});
    case Unary::gelu_tanh:
      return body(GeluTanh{});
    case Unary::silu:
      return body(Silu{});
    case Unary::tanh:
      return body(Tanh{});
    case Unary::sigmoid:
      return body(Sigmoid{});
  }
}

}  // namespace engine::activation
