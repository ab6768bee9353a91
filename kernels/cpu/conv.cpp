#include "kernels/conv.h"

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"

namespace engine {
namespace {

// ---- f64: the definition in kernels/conv.h, loop by loop; the reference ----

struct Sizes {
  int64_t n, t, h, w, c;      // of x; the time of images is 1
  int64_t k, u, r, s, depth;  // of the weights; depth = C / groups
  int64_t o, p, q;            // of y

  Sizes(const Shape& x, const Shape& weights, const Shape& y)
      : n(x[0]),
        t(x.rank() == 5 ? x[1] : 1),
        h(x[-3]),
        w(x[-2]),
        c(x[-1]),
        k(weights[0]),
        u(x.rank() == 5 ? weights[1] : 1),
        r(weights[-3]),
        s(weights[-2]),
        depth(weights[-1]),
        o(x.rank() == 5 ? y[1] : 1),
        p(y[-3]),
        q(y[-2]) {}
  int64_t x_item() const { return t * h * w * c; }
  int64_t y_item() const { return o * p * q * k; }
  int64_t filter() const { return u * r * s * depth; }
};

// Calls f(pixel, tap) for every pair of an element of item n ((t * H + h) * W + w) and of the kernel ((u * R + r) * S +
// s) that meet in output element (o, p, q).
template <class F>
void for_each_tap(const Conv3d& conv, const Sizes& z, int64_t o, int64_t p, int64_t q, const F& f) {
  for (int64_t u = 0; u < z.u; ++u) {
    const int64_t t = o * conv.stride_t + u * conv.dilation_t - conv.pad_t;
    if (t < 0 || t >= z.t) continue;
    for (int64_t r = 0; r < z.r; ++r) {
      const int64_t h = p * conv.stride_h + r * conv.dilation_h - conv.pad_h;
      if (h < 0 || h >= z.h) continue;
      for (int64_t s = 0; s < z.s; ++s) {
        const int64_t w = q * conv.stride_w + s * conv.dilation_w - conv.pad_w;
        if (w >= 0 && w < z.w) f((t * z.h + h) * z.w + w, (u * z.r + r) * z.s + s);
      }
    }
  }
}

// The same for output channel k of every output element of item n: f(i, j, l), offsets of the first of `depth` channels
// in x and in the weights, and of the element in y.
template <class F>
void for_each_term(const Conv3d& conv, const Sizes& z, int64_t n, int64_t k, const F& f) {
  const int64_t first_channel = k / (z.k / conv.groups) * z.depth;
  for (int64_t o = 0; o < z.o; ++o)
    for (int64_t p = 0; p < z.p; ++p)
      for (int64_t q = 0; q < z.q; ++q)
        for_each_tap(conv, z, o, p, q, [&](int64_t pixel, int64_t tap) {
          f(n * z.x_item() + pixel * z.c + first_channel, k * z.filter() + tap * z.depth,
            n * z.y_item() + ((o * z.p + p) * z.q + q) * z.k + k);
        });
}

void forward_f64(const Conv3d& conv, ConstView x, ConstView w, ConstView bias, View y) {
  const Sizes z(x.shape, w.shape, y.shape);
  const double *in = x.as<double>(), *weights = w.as<double>(), *b = bias.defined() ? bias.as<double>() : nullptr;
  double* out = y.as<double>();
  parallel_for(z.n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t k = 0; k < z.k; ++k) {
        for (int64_t l = n * z.y_item() + k; l < (n + 1) * z.y_item(); l += z.k) out[l] = b ? b[k] : 0.0;
        for_each_term(conv, z, n, k, [&](int64_t i, int64_t j, int64_t l) {
          for (int64_t c = 0; c < z.depth; ++c) out[l] += in[i + c] * weights[j + c];
        });
      }
  });
}

void backward_input_f64(const Conv3d& conv, ConstView dy, ConstView w, View dx) {
  const Sizes z(dx.shape, w.shape, dy.shape);
  const double *upstream = dy.as<double>(), *weights = w.as<double>();
  double* out = dx.as<double>();
  parallel_for(z.n, 1, [&](int64_t begin, int64_t end) {
    std::fill(out + begin * z.x_item(), out + end * z.x_item(), 0.0);
    for (int64_t n = begin; n < end; ++n)
      for (int64_t k = 0; k < z.k; ++k)
        for_each_term(conv, z, n, k, [&](int64_t i, int64_t j, int64_t l) {
          for (int64_t c = 0; c < z.depth; ++c) out[i + c] += upstream[l] * weights[j + c];
        });
  });
}

void backward_weight_f64(const Conv3d& conv, ConstView x, ConstView dy, View dw) {
  const Sizes z(x.shape, dw.shape, dy.shape);
  const double *in = x.as<double>(), *upstream = dy.as<double>();
  double* out = dw.as<double>();
  parallel_for(z.k, 1, [&](int64_t begin, int64_t end) {
    std::fill(out + begin * z.filter(), out + end * z.filter(), 0.0);
    for (int64_t k = begin; k < end; ++k)
      for (int64_t n = 0; n < z.n; ++n)
        for_each_term(conv, z, n, k, [&](int64_t i, int64_t j, int64_t l) {
          for (int64_t c = 0; c < z.depth; ++c) out[j + c] += upstream[l] * in[i + c];
        });
  });
}

// ---- images and clips ----

void check(const char* name, const Conv3d& p, const ConstView& x, const ConstView& w, const ConstView& y) {
  ENGINE_CHECK(x.contiguous() && w.contiguous() && y.contiguous(), name, ": needs contiguous tensors");
  const int rank = x.shape.rank();
  const bool sizes = w.shape.rank() == rank && y.shape.rank() == rank && x.shape[0] == y.shape[0] &&
                     w.shape[0] == y.shape[-1] && w.shape[0] % p.groups == 0 && w.shape[-1] * p.groups == x.shape[-1];
  ENGINE_CHECK(sizes && x.dtype == w.dtype && x.dtype == y.dtype, name, ": ", x.shape, " ", x.dtype, " by ", w.shape,
               " ", w.dtype, ", groups ", p.groups, ", with output ", y.shape, " ", y.dtype);
}

void forward(CpuContext& ctx, const char* name, const Conv3d& p, const Unary& f, ConstView x, ConstView w,
             ConstView bias, View y) {
  check(name, p, x, w, y);
  if (y.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { forward(ctx, name, p, f, v...); }, x, w, bias, y);
  if (y.elements() == 0) return;
  if (y.dtype == DType::f32)
    onednn::conv_forward(ctx, p, x, w, bias, y);
  else
    forward_f64(p, x, w, bias, y);
  // A second pass, because oneDNN's fused ReLU turns NaN into 0, which would hide a run that has gone wrong.
  if (!is_identity(f)) unary_forward(ctx, f, y, y);
}

void backward_input(CpuContext& ctx, const char* name, const Conv3d& p, ConstView dy, ConstView w, View dx) {
  check(name, p, dx, w, dy);
  if (dx.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { backward_input(ctx, name, p, v...); }, dy, w, dx);
  if (dx.elements() == 0) return;
  if (dx.dtype == DType::f32) return onednn::conv_backward_input(ctx, p, dy, w, dx);
  backward_input_f64(p, dy, w, dx);
}

void backward_weight(CpuContext& ctx, const char* name, const Conv3d& p, ConstView x, ConstView dy, View dw) {
  check(name, p, x, dw, dy);
  if (dw.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { backward_weight(ctx, name, p, v...); }, x, dy, dw);
  if (dy.elements() == 0) return fill(ctx, dw, 0.0);
  if (dw.dtype == DType::f32) return onednn::conv_backward_weight(ctx, p, x, dy, dw);
  backward_weight_f64(p, x, dy, dw);
}

}  // namespace

void conv2d_forward(CpuContext& ctx, const Conv2d& p, const Unary& f, ConstView x, ConstView w, ConstView bias,
                    View y) {
  forward(ctx, "conv2d_forward", over_time(p), f, x, w, bias, y);
}
void conv2d_backward_input(CpuContext& ctx, const Conv2d& p, ConstView dy, ConstView w, View dx) {
  backward_input(ctx, "conv2d_backward_input", over_time(p), dy, w, dx);
}
void conv2d_backward_weight(CpuContext& ctx, const Conv2d& p, ConstView x, ConstView dy, View dw) {
  backward_weight(ctx, "conv2d_backward_weight", over_time(p), x, dy, dw);
}

void conv3d_forward(CpuContext& ctx, const Conv3d& p, const Unary& f, ConstView x, ConstView w, ConstView bias,
                    View y) {
  forward(ctx, "conv3d_forward", p, f, x, w, bias, y);
}
void conv3d_backward_input(CpuContext& ctx, const Conv3d& p, ConstView dy, ConstView w, View dx) {
  backward_input(ctx, "conv3d_backward_input", p, dy, w, dx);
}
void conv3d_backward_weight(CpuContext& ctx, const Conv3d& p, ConstView x, ConstView dy, View dw) {
  backward_weight(ctx, "conv3d_backward_weight", p, x, dy, dw);
}

}  // namespace engine
