// Pooling of images, x (N,H,W,C) -> y (N,P,Q,C), and of clips, x (N,T,H,W,C) -> y (N,O,P,Q,C); sizes as pool_shape()
// says. Tensors are contiguous; axes of x and the product of the kernel are at most kMostPooled.
#pragma once

#include "kernels/context.h"
#include "kernels/window.h"

namespace engine {

inline constexpr int64_t kMostPooled = int64_t{1} << 30;

struct Pool2d {
  int64_t kernel_h = 2, kernel_w = 2;
  int64_t stride_h = 2, stride_w = 2;
  int64_t pad_h = 0, pad_w = 0;  // at most half the kernel
  bool count_padding = true;     // average: divide by the whole kernel, padding included
};

struct Pool3d {
  int64_t kernel_t = 2, kernel_h = 2, kernel_w = 2;
  int64_t stride_t = 2, stride_h = 2, stride_w = 2;
  int64_t pad_t = 0, pad_h = 0, pad_w = 0;  // at most half the kernel
  bool count_padding = true;                // average: divide by the whole kernel, padding included

  Space kernel() const { return {kernel_t, kernel_h, kernel_w}; }
  Space stride() const { return {stride_t, stride_h, stride_w}; }
  Space pad() const { return {pad_t, pad_h, pad_w}; }
  // False where every frame is pooled for itself.
  bool moves_over_time() const { return kernel_t != 1 || stride_t != 1 || pad_t != 0; }
};

// What p does to images, as clips of one frame.
constexpr Pool3d over_time(const Pool2d& p) {
  return {1, p.kernel_h, p.kernel_w, 1, p.stride_h, p.stride_w, 0, p.pad_h, p.pad_w, p.count_padding};
}

// The shape of y.
inline Shape pool_shape(const Pool3d& p, const Shape& x) {
  return windows_over(x, p.kernel(), p.stride(), p.pad(), {1, 1, 1}, x[-1]);
}

// The maximum of each window, padding left out; `argmax` (u8, y's shape) gets its position (u kernel_h + r) kernel_w +
// s in the window, the first one of equal maxima (so a window has at most 256 elements), unless it is undefined. A NaN
// in the window is its maximum.
ENGINE_KERNEL(max_pool_forward, const Pool3d& p, ConstView x, View y, View argmax);

// dx = sum of dy of the windows whose maximum each element is.
ENGINE_KERNEL(max_pool_backward, const Pool3d& p, ConstView dy, ConstView argmax, View dx);

ENGINE_KERNEL(average_pool_forward, const Pool3d& p, ConstView x, View y);

ENGINE_KERNEL(average_pool_backward, const Pool3d& p, ConstView dy, View dx);

}  // namespace engine
