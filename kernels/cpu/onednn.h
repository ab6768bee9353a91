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

// The kernels of kernels/conv.h, without activation; `pass` says which of x, w and y is written. Tensors are contiguous
// and not empty; bias is of the forward pass and may be undefined. Primitives are generated at the first call with a
// shape and number of threads, and kept. Any thread may call.
enum class Pass : uint8_t { forward, backward_input, backward_weight };
void convolve(CpuContext& ctx, Pass pass, const Conv3d& p, ConstView x, ConstView w, ConstView bias, ConstView y);

}  // namespace engine::onednn
