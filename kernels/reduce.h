// Sums, means and maxima over neighbouring axes.
#pragma once

#include "kernels/context.h"

namespace engine {

struct Reduce {
  enum Op : uint8_t { sum, mean, max };
  Op op = sum;
  int first_axis = 0;  // axes first_axis .. last_axis-1 of x are reduced
  int last_axis = 1;
};

// x, y: one float type, contiguous; y has x's shape without the reduced axes. Sums are taken in a fixed order. The
// maximum of a set with a NaN is NaN.
void reduce_forward(CpuContext& ctx, const Reduce& p, ConstView x, View y);
void reduce_forward(CudaContext& ctx, const Reduce& p, ConstView x, View y);

// dx of x's shape: dy (sum), dy / count (mean), or dy at the first maximal element and 0 elsewhere (max). `x` is
// undefined unless p.op is max.
void reduce_backward(CpuContext& ctx, const Reduce& p, ConstView x, ConstView dy, View dx);
void reduce_backward(CudaContext& ctx, const Reduce& p, ConstView x, ConstView dy, View dx);

// y[r] = index of the first maximal element of row r; x (..., C) float, y (...) i64. The index of a NaN counts as
// maximal.
void argmax(CpuContext& ctx, ConstView x, View y);
void argmax(CudaContext& ctx, ConstView x, View y);

}  // namespace engine
