#include "kernels/conv.h"

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"

namespace engine {
namespace {

// ---- f64: the definition in kernels/conv.h, loop by loop; the reference ----

struct Sizes {
  int64_t n, h, w, c;      // of x
  int64_t k, r, s, depth;  // of the weights; depth = C / groups
  int64_t p, q;            // of y

  Sizes(const Shape& x, const Shape& weights, const Shape& y)
      : n(x[0]),
        h(x[1]),
        w(x[2]),
        c(x[3]),
        k(weights[0]),
        r(weights[1]),
        s(weights[2]),
        depth(weights[3]),
        p(y[1]),
        q(y[2]) {}
};

// Calls f(pixel, tap) for every pair of an element of image n (h * W + w) and of the kernel (r * S + s) that meet in
// output element (p, q).
template <class F>
void for_each_tap(const Conv2d& conv, const Sizes& z, int64_t p, int64_t q, const F& f) {
  for (int64_t r = 0; r < z.r; ++r) {
    const int64_t h = p * conv.stride_h + r * conv.dilation_h - conv.pad_h;
    if (h < 0 || h >= z.h) continue;
    for (int64_t s = 0; s < z.s; ++s) {
      const int64_t w = q * conv.stride_w + s * conv.dilation_w - conv.pad_w;
      if (w >= 0 && w < z.w) f(h * z.w + w, r * z.s + s);
    }
  }
}

// The same for output channel k of every output element (n, p, q): f(i, j, o), offsets of the first of `depth` channels
// in x and in the weights, and of the element in y.
template <class F>
void for_each_term(const Conv2d& conv, const Sizes& z, int64_t n, int64_t k, const F& f) {
  const int64_t first_channel = k / (z.k / conv.groups) * z.depth;
  for (int64_t p = 0; p < z.p; ++p)
    for (int64_t q = 0; q < z.q; ++q)
      for_each_tap(conv, z, p, q, [&](int64_t pixel, int64_t tap) {
        f((n * z.h * z.w + pixel) * z.c + first_channel, (k * z.r * z.s + tap) * z.depth,
          ((n * z.p + p) * z.q + q) * z.k + k);
      });
}

void forward_f64(const Conv2d& conv, ConstView x, ConstView w, ConstView bias, View y) {
  const Sizes z(x.shape, w.shape, y.shape);
  const double *in = x.as<double>(), *weights = w.as<double>(), *b = bias.defined() ? bias.as<double>() : nullptr;
  double* out = y.as<double>();
  parallel_for(z.n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t k = 0; k < z.k; ++k) {
        for (int64_t o = n * z.p * z.q * z.k + k; o < (n + 1) * z.p * z.q * z.k; o += z.k) out[o] = b ? b[k] : 0.0;
        for_each_term(conv, z, n, k, [&](int64_t i, int64_t j, int64_t o) {
          for (int64_t c = 0; c < z.depth; ++c) out[o] += in[i + c] * weights[j + c];
        });
      }
  });
}

void backward_input_f64(const Conv2d& conv, ConstView dy, ConstView w, View dx) {
  const Sizes z(dx.shape, w.shape, dy.shape);
  const double *upstream = dy.as<double>(), *weights = w.as<double>();
  double* out = dx.as<double>();
  const int64_t image = z.h * z.w * z.c;
  parallel_for(z.n, 1, [&](int64_t begin, int64_t end) {
    std::fill(out + begin * image, out + end * image, 0.0);
    for (int64_t n = begin; n < end; ++n)
      for (int64_t k = 0; k < z.k; ++k)
        for_each_term(conv, z, n, k, [&](int64_t i, int64_t j, int64_t o) {
          for (int64_t c = 0; c < z.depth; ++c) out[i + c] += upstream[o] * weights[j + c];
        });
  });
}

void backward_weight_f64(const Conv2d& conv, ConstView x, ConstView dy, View dw) {
  const Sizes z(x.shape, dw.shape, dy.shape);
  const double *in = x.as<double>(), *upstream = dy.as<double>();
  double* out = dw.as<double>();
  const int64_t filter = z.r * z.s * z.depth;
  parallel_for(z.k, 1, [&](int64_t begin, int64_t end) {
    std::fill(out + begin * filter, out + end * filter, 0.0);
    for (int64_t k = begin; k < end; ++k)
      for (int64_t n = 0; n < z.n; ++n)
        for_each_term(conv, z, n, k, [&](int64_t i, int64_t j, int64_t o) {
          for (int64_t c = 0; c < z.depth; ++c) out[j + c] += upstream[o] * in[i + c];
        });
  });
}

void check(const char* name, const Conv2d& p, const ConstView& x, const ConstView& w, const ConstView& y) {
  ENGINE_CHECK(x.contiguous() && w.contiguous() && y.contiguous(), name, ": needs contiguous tensors");
  const bool sizes = x.shape.rank() == 4 && w.shape.rank() == 4 && y.shape.rank() == 4 && x.shape[0] == y.shape[0] &&
                     w.shape[0] == y.shape[3] && w.shape[0] % p.groups == 0 && w.shape[3] * p.groups == x.shape[3];
  ENGINE_CHECK(sizes && x.dtype == w.dtype && x.dtype == y.dtype, name, ": ", x.shape, " ", x.dtype, " by ", w.shape,
               " ", w.dtype, ", groups ", p.groups, ", with output ", y.shape, " ", y.dtype);
}

}  // namespace

void conv2d_forward(CpuContext& ctx, const Conv2d& p, const Unary& f, ConstView x, ConstView w, ConstView bias,
                    View y) {
  check("conv2d_forward", p, x, w, y);
  if (y.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { conv2d_forward(ctx, p, f, v...); }, x, w, bias, y);
  if (y.elements() == 0) return;
  if (y.dtype == DType::f32)
    onednn::conv2d_forward(ctx, p, x, w, bias, y);
  else
    forward_f64(p, x, w, bias, y);
  // A second pass, because oneDNN's fused ReLU turns NaN into 0, which would hide a run that has gone wrong.
  if (!is_identity(f)) unary_forward(ctx, f, y, y);
}

void conv2d_backward_input(CpuContext& ctx, const Conv2d& p, ConstView dy, ConstView w, View dx) {
  check("conv2d_backward_input", p, dx, w, dy);
  if (dx.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { conv2d_backward_input(ctx, p, v...); }, dy, w, dx);
  if (dx.elements() == 0) return;
  if (dx.dtype == DType::f32) return onednn::conv2d_backward_input(ctx, p, dy, w, dx);
  backward_input_f64(p, dy, w, dx);
}

void conv2d_backward_weight(CpuContext& ctx, const Conv2d& p, ConstView x, ConstView dy, View dw) {
  check("conv2d_backward_weight", p, x, dw, dy);
  if (dw.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { conv2d_backward_weight(ctx, p, v...); }, x, dy, dw);
  if (dy.elements() == 0) return fill(ctx, dw, 0.0);
  if (dw.dtype == DType::f32) return onednn::conv2d_backward_weight(ctx, p, x, dy, dw);
  backward_weight_f64(p, x, dy, dw);
}

}  // namespace engine
