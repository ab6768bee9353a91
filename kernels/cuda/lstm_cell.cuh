// One element of the LSTM's cell (kernels/lstm.h). Where multiply-adds may be contracted they are written as such, so
// that all kernels give the same bits.
#pragma once

#include "kernels/cuda/activation.cuh"

namespace engine::lstm_cell {

struct State {
  float c, h;
};

// z: in, what the gates i, f, g and o are functions of; out, the gates.
__device__ inline State forward(float (&z)[4], float c_before) {
#pragma unroll
  for (int gate = 0; gate < 4; ++gate) z[gate] = gate == 2 ? tanhf(z[gate]) : activation::sigmoid(z[gate]);
  const float c = fmaf(z[1], c_before, z[0] * z[2]);
  return {c, z[3] * tanhf(c)};
}

// d: the gradients of what the gates are functions of, from those of h and c. Returns that of c_before.
__device__ inline float backward(const float (&gate)[4], float c_before, float c, float dh, float dc, float (&d)[4]) {
  const float i = gate[0], f = gate[1], g = gate[2], o = gate[3], tanh_c = tanhf(c);
  const float from_c = fmaf(dh * o, fmaf(-tanh_c, tanh_c, 1.0f), dc);
  d[0] = from_c * g * i * (1 - i);
  d[1] = from_c * c_before * f * (1 - f);
  d[2] = from_c * i * fmaf(-g, g, 1.0f);
  d[3] = dh * tanh_c * o * (1 - o);
  return from_c * f;
}

}  // namespace engine::lstm_cell
