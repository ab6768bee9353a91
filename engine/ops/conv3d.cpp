#include "engine/autograd.h"
#include "engine/ops.h"
#include "kernels/reduce.h"

namespace engine {
namespace {

struct Axis {
  int64_t stride, pad, dilation;
};

std::array<Axis, 3> axes_of(const Conv3d& p) {
  return {Axis{p.stride_t, p.pad_t, p.dilation_t}, Axis{p.stride_h, p.pad_h, p.dilation_h},
          Axis{p.stride_w, p.pad_w, p.dilation_w}};
}

// "2x1x1", one number per axis.
std::string list(const std::array<Axis, 3>& axes, int64_t Axis::*member) {
  return concat(axes[0].*member, "x", axes[1].*member, "x", axes[2].*member);
}

void check_conv3d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv3d& p, const Unary& f) {
  ENGINE_CHECK(is_float(x.dtype()) && x.dtype() == w.dtype() && (!bias || bias.dtype() == x.dtype()),
               "conv3d: expected tensors of one float type, got x ", x.dtype(), " and w ", w.dtype());
  ENGINE_CHECK(x.rank() == 5 && w.rank() == 5,
               "conv3d: expected x (N, T, H, W, C) and w (K, U, R, S, C / groups), got ", x.shape(), " and ",
               w.shape());
  const auto axes = axes_of(p);
  const auto all_at_least = [&](int64_t Axis::*member, int64_t least) {
    return std::all_of(axes.begin(), axes.end(), [&](const Axis& axis) { return axis.*member >= least; });
  };
  ENGINE_CHECK(all_at_least(&Axis::stride, 1) && all_at_least(&Axis::dilation, 1) && p.groups >= 1,
               "conv3d: strides, dilations and groups must be at least 1, got stride ", list(axes, &Axis::stride),
               ", dilation ", list(axes, &Axis::dilation), ", groups ", p.groups);
  ENGINE_CHECK(all_at_least(&Axis::pad, 0), "conv3d: the padding must not be negative, got ", list(axes, &Axis::pad));
  ENGINE_CHECK(w.elements() > 0 && x.shape().elements(1, 5) > 0, "conv3d: empty clips or weights: x ", x.shape(),
               ", w ", w.shape());
  ENGINE_CHECK(w.size(4) * p.groups == x.size(4) && w.size(0) % p.groups == 0, "conv3d: w ", w.shape(), " with ",
               p.groups, " groups does not fit x ", x.shape(),
               "; expected w (K, U, R, S, C / groups) and K a multiple of the groups");
  ENGINE_CHECK(!bias || bias.shape() == Shape{w.size(0)}, "conv3d: expected bias (", w.size(0), ") for w ", w.shape(),
               ", got ", bias ? bias.shape() : Shape{});
  ENGINE_CHECK(is_identity(f) || f.op == Unary::relu,
               "conv3d: the activation must be none or relu; apply others to the result");
}

Shape output_shape(const Tensor& x, const Tensor& w, const Conv3d& p) {
  Shape shape = {x.size(0)};
  const auto axes = axes_of(p);
  for (int i = 0; i < 3; ++i) {
    const Axis& axis = axes[static_cast<size_t>(i)];
    shape.push_back(Conv2d::output_size(x.size(i + 1), w.size(i + 1), axis.stride, axis.pad, axis.dilation));
  }
  ENGINE_CHECK(shape.elements(1, 4) > 0, "conv3d: the kernel of w ", w.shape(), " with dilation ",
               list(axes, &Axis::dilation), " is larger than the padded clips of x ", x.shape(),
               "; use longer or larger clips, a smaller kernel or more padding");
  shape.push_back(w.size(0));
  return shape;
}

}  // namespace

Tensor conv3d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv3d& p, const Unary& f) {
  check_conv3d(x, w, bias, p, f);
  const Tensor y = Tensor::empty(output_shape(x, w, p), x.dtype(), x.device());
  on(x.device(), [&](auto& ctx) { conv3d_forward(ctx, p, f, x, w, bias, y); });
  return record(
      "conv3d", {x, w, bias}, y,
      [=, x = x.detach(), w = w.detach(), saved = is_identity(f) ? Tensor() : y.detach(), need_dx = needs_grad(x),
       need_dw = needs_grad(w), need_dbias = bias && needs_grad(bias)](const Grads& dy) {
        const Tensor dz = saved ? Tensor::empty_like(saved) : dy[0];
        const Tensor dx = need_dx ? Tensor::empty_like(x) : Tensor();
        const Tensor dw = need_dw ? Tensor::empty_like(w) : Tensor();
        const Tensor dbias = need_dbias ? Tensor::empty({w.size(0)}, w.dtype(), w.device()) : Tensor();
        on(dz.device(), [&](auto& ctx) {
          if (saved) unary_backward(ctx, f, saved, dy[0], dz);
          if (dx) conv3d_backward_input(ctx, p, dz, w, dx);
          if (dw) conv3d_backward_weight(ctx, p, x, dz, dw);
          if (dbias) reduce_forward(ctx, {Reduce::sum, 0, 4}, dz, dbias);
        });
        return Grads{dx, dw, dbias};
      });
}

}  // namespace engine
