// The functions of Unary (kernels/activation.h) in float.
#pragma once

#include "kernels/activation.h"
#include "kernels/cuda/device.h"

namespace engine::activation {

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

struct DeviceMath {
  struct Normal {
    float cdf, density;
  };
  __device__ static float exp(float x) { return expf(x); }
  __device__ static float tanh(float x) { return tanhf(x); }
  __device__ static float sigmoid(float x) { return activation::sigmoid(x); }
  __device__ static Normal normal(float x) {
    return {0.5f * erfcf(-0.707106781f * x), 0.398942280f * expf(-0.5f * x * x)};
  }
};

// Calls body with the functor of f.
template <class F>
void with_functor(const Unary& f, const F& body) {
  Activations<float, DeviceMath>::dispatch(f, body);
}

}  // namespace engine::activation
