// Convolution of images and of clips, in the sense of neural networks (no flip of the kernel). Layout of images: x
// (N,H,W,C), w (K,R,S,C/groups), y (N,P,Q,K) with P = (H + 2 pad_h - dilation_h (R - 1) - 1) / stride_h + 1, rounded
// down, and Q likewise.
//   y[n,p,q,k] = f( bias[k] + sum over r,s,c of x[n, p stride_h + r dilation_h - pad_h, q ..., c] w[k,r,s,c] ),
// where x is 0 outside the image; with groups, output channel k sees the C/groups input channels of its group. Clips
// have one more axis of the same kind, time, outside the others: x (N,T,H,W,C), w (K,U,R,S,C/groups), y (N,O,P,Q,K).
#pragma once

#include "kernels/context.h"
#include "kernels/pointwise.h"

namespace engine {

struct Conv2d {
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;

  // The length of the output along one axis; may be 0 or less when the kernel does not fit.
  static int64_t output_size(int64_t input, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation) {
    const int64_t span = input + 2 * pad - dilation * (kernel - 1) - 1;
    return span < 0 ? 0 : span / stride + 1;
  }
};

struct Conv3d {
  int64_t stride_t = 1, stride_h = 1, stride_w = 1;
  int64_t pad_t = 0, pad_h = 0, pad_w = 0;
  int64_t dilation_t = 1, dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
};

// What p does to images, as clips of one frame.
constexpr Conv3d over_time(const Conv2d& p) {
  return {.stride_h = p.stride_h,
          .stride_w = p.stride_w,
          .pad_h = p.pad_h,
          .pad_w = p.pad_w,
          .dilation_h = p.dilation_h,
          .dilation_w = p.dilation_w,
          .groups = p.groups};
}

// bias may be undefined. f: affine with alpha 1 and beta 0 (nothing), or relu.
void conv2d_forward(CpuContext& ctx, const Conv2d& p, const Unary& f, ConstView x, ConstView w, ConstView bias, View y);
void conv2d_forward(CudaContext& ctx, const Conv2d& p, const Unary& f, ConstView x, ConstView w, ConstView bias,
                    View y);
void conv3d_forward(CpuContext& ctx, const Conv3d& p, const Unary& f, ConstView x, ConstView w, ConstView bias, View y);
void conv3d_forward(CudaContext& ctx, const Conv3d& p, const Unary& f, ConstView x, ConstView w, ConstView bias,
                    View y);

// dx from the gradient of the convolution's output before f.
void conv2d_backward_input(CpuContext& ctx, const Conv2d& p, ConstView dy, ConstView w, View dx);
void conv2d_backward_input(CudaContext& ctx, const Conv2d& p, ConstView dy, ConstView w, View dx);
void conv3d_backward_input(CpuContext& ctx, const Conv3d& p, ConstView dy, ConstView w, View dx);
void conv3d_backward_input(CudaContext& ctx, const Conv3d& p, ConstView dy, ConstView w, View dx);

// dw, likewise. The gradient of bias is the sum of dy over N, P and Q, and O (kernels/reduce.h).
void conv2d_backward_weight(CpuContext& ctx, const Conv2d& p, ConstView x, ConstView dy, View dw);
void conv2d_backward_weight(CudaContext& ctx, const Conv2d& p, ConstView x, ConstView dy, View dw);
void conv3d_backward_weight(CpuContext& ctx, const Conv3d& p, ConstView x, ConstView dy, View dw);
void conv3d_backward_weight(CudaContext& ctx, const Conv3d& p, ConstView x, ConstView dy, View dw);

}  // namespace engine
