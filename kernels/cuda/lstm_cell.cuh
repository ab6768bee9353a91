// One element of the LSTM's cell (kernels/lstm.h). Where multiply-adds may be contracted they are written as such, so
// that all kernels give the same bits.
#pragma once

#include "kernels/cuda/activation.cuh"

namespace engine::lstm_cell {

// gate: in, what the gates i, f, g and o are functions of; out, the gates. Returns c.
__device__ inline float forward(float (&gate)[4], float c_before) {
  for (int k = 0; k < 4; ++k) gate[k] = k == 2 ? tanhf(gate[k]) : activation::sigmoid(gate[k]);
  return fmaf(gate[1], c_before, gate[0] * gate[2]);
}

// gate: in, the gates; out, the gradients of what they are functions of, from those of h and c. Returns that of
// c_before.
__device__ inline float backward(float (&gate)[4], float c_before, float c, float dh, float dc) {
  const float i = gate[0], f = gate[1], g = gate[2], o = gate[3], tanh_c = tanhf(c);
  const float from_c = fmaf(dh * o, fmaf(-tanh_c, tanh_c, 1.0f), dc);
  gate[0] = from_c * g * i * (1 - i);
  gate[1] = from_c * c_before * f * (1 - f);
  gate[2] = from_c * i * fmaf(-g, g, 1.0f);
  gate[3] = dh * tanh_c * o * (1 - o);
  return from_c * f;
}

}  // namespace engine::lstm_cell
