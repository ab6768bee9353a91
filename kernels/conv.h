// Convolution of images and of clips, in the sense of neural networks (no flip of the kernel). Layout of clips: x
// (N,T,H,W,C), w (K,U,R,S,C/groups), y (N,O,P,Q,K), sizes as conv_shape() says.
//   y[n,o,p,q,k] = f( bias[k] + sum over u,r,s,c of
//                     x[n, o stride_t + u dilation_t - pad_t, p stride_h + r dilation_h - pad_h, q ..., c] w[k,u,r,s,c]
//                     ),
// where x is 0 outside the clip; with groups, output channel k sees the C/groups input channels of its group. Images
// are clips of one frame without the axis of time: x (N,H,W,C), w (K,R,S,C/groups), y (N,P,Q,K).
#pragma once

#include "kernels/context.h"
#include "kernels/pointwise.h"
#include "kernels/window.h"

namespace engine {

struct Conv2d {
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
};

struct Conv3d {
  int64_t stride_t = 1, stride_h = 1, stride_w = 1;
  int64_t pad_t = 0, pad_h = 0, pad_w = 0;
  int64_t dilation_t = 1, dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;

  Space stride() const { return {stride_t, stride_h, stride_w}; }
  Space pad() const { return {pad_t, pad_h, pad_w}; }
  Space dilation() const { return {dilation_t, dilation_h, dilation_w}; }
  auto operator<=>(const Conv3d&) const = default;
};

// What p does to images, as clips of one frame.
constexpr Conv3d over_time(const Conv2d& p) {
  return {1, p.stride_h, p.stride_w, 0, p.pad_h, p.pad_w, 1, p.dilation_h, p.dilation_w, p.groups};
}

// The shape of y.
inline Shape conv_shape(const Conv3d& p, const Shape& x, const Shape& w) {
  return windows_over(x, space_of(w), p.stride(), p.pad(), p.dilation(), w[0]);
}

// What all of these require of images and of clips alike: contiguous tensors of one float type whose sizes fit.
inline void check_conv(const Conv3d& p, const ConstView& x, const ConstView& w, const ConstView& y) {
  const bool fit = x.shape.rank() == w.shape.rank() && w.shape[0] % p.groups == 0 &&
                   w.shape[-1] * p.groups == x.shape[-1] && y.shape == conv_shape(p, x.shape, w.shape) &&
                   x.contiguous() && w.contiguous() && y.contiguous() && x.dtype == w.dtype && x.dtype == y.dtype;
  ENGINE_CHECK(fit, x.shape.rank() == 5 ? "conv3d: " : "conv2d: ", x.shape, " ", x.dtype, " by ", w.shape, " ", w.dtype,
               ", groups ", p.groups, ", with output ", y.shape, " ", y.dtype, "; or they are not contiguous");
}

// bias may be undefined. f: affine with alpha 1 and beta 0 (nothing), or relu.
ENGINE_KERNEL(conv_forward, const Conv3d& p, const Unary& f, ConstView x, ConstView w, ConstView bias, View y);

// dx from the gradient of the convolution's output before f.
ENGINE_KERNEL(conv_backward_input, const Conv3d& p, ConstView dy, ConstView w, View dx);

// dw, likewise. The gradient of bias is the sum of dy over all axes but the last (kernels/reduce.h).
ENGINE_KERNEL(conv_backward_weight, const Conv3d& p, ConstView x, ConstView dy, View dw);

}  // namespace engine
