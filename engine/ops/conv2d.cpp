#include "engine/autograd.h"
#include "engine/ops.h"
#include "kernels/reduce.h"

namespace engine {
namespace {

void check_conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2d& p, const Unary& f) {
  ENGINE_CHECK(is_float(x.dtype()) && x.dtype() == w.dtype() && (!bias || bias.dtype() == x.dtype()),
               "conv2d: expected tensors of one float type, got x ", x.dtype(), " and w ", w.dtype());
  ENGINE_CHECK(x.rank() == 4 && w.rank() == 4, "conv2d: expected x (N, H, W, C) and w (K, R, S, C / groups), got ",
               x.shape(), " and ", w.shape());
  ENGINE_CHECK(p.stride_h >= 1 && p.stride_w >= 1 && p.dilation_h >= 1 && p.dilation_w >= 1 && p.groups >= 1,
               "conv2d: strides, dilations and groups must be at least 1, got stride ", p.stride_h, "x", p.stride_w,
               ", dilation ", p.dilation_h, "x", p.dilation_w, ", groups ", p.groups);
  ENGINE_CHECK(p.pad_h >= 0 && p.pad_w >= 0, "conv2d: the padding must not be negative, got ", p.pad_h, "x", p.pad_w);
  ENGINE_CHECK(w.elements() > 0 && x.shape().elements(1, 4) > 0, "conv2d: empty images or weights: x ", x.shape(),
               ", w ", w.shape());
  ENGINE_CHECK(w.size(3) * p.groups == x.size(3) && w.size(0) % p.groups == 0, "conv2d: w ", w.shape(), " with ",
               p.groups, " groups does not fit x ", x.shape(),
               "; expected w (K, R, S, C / groups) and K a multiple of the groups");
  ENGINE_CHECK(!bias || bias.shape() == Shape{w.size(0)}, "conv2d: expected bias (", w.size(0), ") for w ", w.shape(),
               ", got ", bias ? bias.shape() : Shape{});
  ENGINE_CHECK(is_identity(f) || f.op == Unary::relu,
               "conv2d: the activation must be none or relu; apply others to the result");
}

Shape output_shape(const Tensor& x, const Tensor& w, const Conv2d& p) {
  const int64_t rows = Conv2d::output_size(x.size(1), w.size(1), p.stride_h, p.pad_h, p.dilation_h);
  const int64_t columns = Conv2d::output_size(x.size(2), w.size(2), p.stride_w, p.pad_w, p.dilation_w);
  ENGINE_CHECK(rows > 0 && columns > 0, "conv2d: the kernel of w ", w.shape(), " with dilation ", p.dilation_h, "x",
               p.dilation_w, " is larger than the padded images of x ", x.shape(),
               "; use larger images, a smaller kernel or more padding");
  return {x.size(0), rows, columns, w.size(0)};
}

// The gradient before the activation.
Tensor before(const Unary& f, const Tensor& y, const Tensor& dy) {
  if (is_identity(f)) return dy;
  const Tensor dz = Tensor::empty_like(dy);
  on(dy.device(), [&](auto& ctx) { unary_backward(ctx, f, y, dy, dz); });
  return dz;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2d& p, const Unary& f) {
  check_conv2d(x, w, bias, p, f);
  const Tensor y = Tensor::empty(output_shape(x, w, p), x.dtype(), x.device());
  on(x.device(), [&](auto& ctx) { conv2d_forward(ctx, p, f, x, w, bias, y); });
  return record(
      "conv2d", {x, w, bias}, y,
      [=, x = x.detach(), w = w.detach(), saved = is_identity(f) ? Tensor() : y.detach(), need_dx = needs_grad(x),
       need_dw = needs_grad(w), need_dbias = bias && needs_grad(bias)](const Grads& dy) {
        const Tensor dz = before(f, saved, dy[0]);
        const Tensor dx = need_dx ? Tensor::empty_like(x) : Tensor();
        const Tensor dw = need_dw ? Tensor::empty_like(w) : Tensor();
        const Tensor dbias = need_dbias ? Tensor::empty({w.size(0)}, w.dtype(), w.device()) : Tensor();
        on(dz.device(), [&](auto& ctx) {
          if (dx) conv2d_backward_input(ctx, p, dz, w, dx);
          if (dw) conv2d_backward_weight(ctx, p, x, dz, dw);
          if (dbias) reduce_forward(ctx, {Reduce::sum, 0, 3}, dz, dbias);
        });
        return Grads{dx, dw, dbias};
      });
}

}  // namespace engine
