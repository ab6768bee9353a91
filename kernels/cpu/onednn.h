// What the CPU kernels take from oneDNN; no other file names it. All of it is f32.
#pragma once

#include "kernels/conv.h"

namespace engine::onednn {

// A matrix in memory, row by row with `stride` elements from one row to the next; `transposed` says that the matrix
// meant is the transpose of that one.
struct Matrix {
  const float* data;
  int64_t stride;
  bool transposed;
};

// c (m, n) = a (m, k) b (k, n), no size 0. Inside a parallel region it stays on the calling thread. False when oneDNN
// fails (out of memory); it does not throw, so that a parallel loop may call it.
bool sgemm(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, float* c, int64_t c_stride) noexcept;

// The kernels of kernels/conv.h, without activation, of images or of clips as the ranks say. Tensors are contiguous and
// not empty; bias may be undefined. Their primitives are generated at the first call with a shape and number of
// threads, and kept. Any thread may call.
void conv_forward(CpuContext& ctx, const Conv3d& p, ConstView x, ConstView w, ConstView bias, View y);
void conv_backward_input(CpuContext& ctx, const Conv3d& p, ConstView dy, ConstView w, View dx);
void conv_backward_weight(CpuContext& ctx, const Conv3d& p, ConstView x, ConstView dy, View dw);

}  // namespace engine::onednn
