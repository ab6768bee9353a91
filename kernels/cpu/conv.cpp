#include "kernels/conv.h"

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"

namespace engine {
namespace {

using onednn::Pass;

// f64, the reference: the sum in kernels/conv.h, loop by loop. Calls f(i, j, l) with offsets in x, w and y for every
// run of products along the input channels, x[i + c] w[j + c] that add to y[l]; items in parallel, or for
// backward_weight output channels, so that no two threads meet in the result.
template <class F>
void for_each_run(Pass pass, const Conv3d& conv, const Shape& x, const Shape& w, const Shape& y, const F& f) {
  const Space in = space_of(x), kernel = space_of(w), out = space_of(y);
  const Space stride = conv.stride(), pad = conv.pad(), dilation = conv.dilation();
  const int64_t depth = w[-1], filter = w.elements() / w[0];
  const auto at_output = [&](int64_t n, int64_t k, const Space& to) {
    const int64_t l = (((n * out[0] + to[0]) * out[1] + to[1]) * out[2] + to[2]) * y[-1] + k;
    const int64_t first_channel = k / (w[0] / conv.groups) * depth;
    const auto from = [&](size_t axis, int64_t tap) {
      return to[axis] * stride[axis] + tap * dilation[axis] - pad[axis];
    };
    for (int64_t u = 0; u < kernel[0]; ++u)
      for (int64_t r = 0; r < kernel[1]; ++r)
        for (int64_t s = 0; s < kernel[2]; ++s) {
          const int64_t t = from(0, u), h = from(1, r), v = from(2, s);
          if (t < 0 || t >= in[0] || h < 0 || h >= in[1] || v < 0 || v >= in[2]) continue;
          const int64_t i = (((n * in[0] + t) * in[1] + h) * in[2] + v) * x[-1] + first_channel;
          const int64_t j = k * filter + ((u * kernel[1] + r) * kernel[2] + s) * depth;
          f(i, j, l);
        }
  };
  const bool by_channel = pass == Pass::backward_weight;
  parallel_for(by_channel ? w[0] : x[0], 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = by_channel ? 0 : begin; n < (by_channel ? x[0] : end); ++n)
      for (int64_t k = by_channel ? begin : 0; k < (by_channel ? end : w[0]); ++k)
        for (int64_t o = 0; o < out[0]; ++o)
          for (int64_t p = 0; p < out[1]; ++p)
            for (int64_t q = 0; q < out[2]; ++q) at_output(n, k, {o, p, q});
  });
}

// to[c] += scale from[c]
void add_scaled(int64_t count, double scale, const double* from, double* to) {
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) to[c] += scale * from[c];
}

}  // namespace

void conv_forward(CpuContext& ctx, const Conv3d& p, const Unary& f, ConstView x, ConstView w, ConstView bias, View y) {
  check_conv(p, x, w, y);
  const InF32 in_f32(ctx, x, w, bias, y);
  if (y.elements() == 0) return;
  if (y.dtype == DType::f32) {
    onednn::convolve(ctx, Pass::forward, p, x, w, bias, y);
  } else {
    const double *in = x.as<double>(), *weights = w.as<double>();
    double* out = y.as<double>();
    for (int64_t l = 0; l < y.elements(); ++l) out[l] = bias.defined() ? bias.as<double>()[l % w.shape[0]] : 0.0;
    const int64_t depth = w.shape[-1];
    for_each_run(Pass::forward, p, x.shape, w.shape, y.shape, [=](int64_t i, int64_t j, int64_t l) {
      out[l] += pairwise_sum<double>(0, depth, [=](int64_t c) { return in[i + c] * weights[j + c]; });
    });
  }
  // A second pass, because oneDNN's fused ReLU turns NaN into 0, which would hide a run that has gone wrong.
  if (!is_identity(f)) unary_forward(ctx, f, y, y);
}

void conv_backward_input(CpuContext& ctx, const Conv3d& p, ConstView dy, ConstView w, View dx) {
  check_conv(p, dx, w, dy);
  const InF32 in_f32(ctx, dy, w, dx);
  if (dy.elements() == 0) return fill(ctx, dx, 0.0);
  if (dx.dtype == DType::f32) return onednn::convolve(ctx, Pass::backward_input, p, dx, w, {}, dy);
  fill(ctx, dx, 0.0);
  for_each_run(Pass::backward_input, p, dx.shape, w.shape, dy.shape,
               [depth = w.shape[-1], from = dy.as<double>(), weights = w.as<double>(), out = dx.as<double>()](
                   int64_t i, int64_t j, int64_t l) { add_scaled(depth, from[l], weights + j, out + i); });
}

void conv_backward_weight(CpuContext& ctx, const Conv3d& p, ConstView x, ConstView dy, View dw) {
  check_conv(p, x, dw, dy);
  const InF32 in_f32(ctx, x, dy, dw);
  if (dy.elements() == 0) return fill(ctx, dw, 0.0);
  if (dw.dtype == DType::f32) return onednn::convolve(ctx, Pass::backward_weight, p, x, dw, {}, dy);
  fill(ctx, dw, 0.0);
  for_each_run(Pass::backward_weight, p, x.shape, dw.shape, dy.shape,
               [depth = dw.shape[-1], in = x.as<double>(), from = dy.as<double>(), out = dw.as<double>()](
                   int64_t i, int64_t j, int64_t l) { add_scaled(depth, from[l], in + i, out + j); });
}

}  // namespace engine
