// Pooling of images: x (N,H,W,C) -> y (N,P,Q,C), sizes as in kernels/conv.h with dilation 1.
#pragma once

#include "kernels/context.h"

namespace engine {

struct Pool2d {
  int64_t kernel_h = 2, kernel_w = 2;
  int64_t stride_h = 2, stride_w = 2;
  int64_t pad_h = 0, pad_w = 0;  // at most half the kernel
  bool count_padding = true;     // average: divide by the whole kernel, padding included
};

// The maximum of each window, padding left out; `argmax` (u8, y's shape) gets its position r * kernel_w + s in the
// window, the first one of equal maxima (so kernel_h * kernel_w <= 256). A NaN in the window is its maximum.
void max_pool2d_forward(CpuContext& ctx, const Pool2d& p, ConstView x, View y, View argmax);
void max_pool2d_forward(CudaContext& ctx, const Pool2d& p, ConstView x, View y, View argmax);

// dx = sum of dy of the windows whose maximum each element is.
void max_pool2d_backward(CpuContext& ctx, const Pool2d& p, ConstView dy, ConstView argmax, View dx);
void max_pool2d_backward(CudaContext& ctx, const Pool2d& p, ConstView dy, ConstView argmax, View dx);

void average_pool2d_forward(CpuContext& ctx, const Pool2d& p, ConstView x, View y);
void average_pool2d_forward(CudaContext& ctx, const Pool2d& p, ConstView x, View y);

void average_pool2d_backward(CpuContext& ctx, const Pool2d& p, ConstView dy, View dx);
void average_pool2d_backward(CudaContext& ctx, const Pool2d& p, ConstView dy, View dx);

}  // namespace engine
