#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"

namespace engine {
namespace {

struct Kind {
  const char *name, *x, *w, *items;
  int rank;
};
constexpr Kind kImages{"conv2d", "(N, H, W, C)", "(K, R, S, C / groups)", "images", 4};
constexpr Kind kClips{"conv3d", "(N, T, H, W, C)", "(K, U, R, S, C / groups)", "clips", 5};

// Checks the arguments and gives the shape of the result.
Shape convolved_shape(const Kind& kind, const Tensor& x, const Tensor& w, const Tensor& bias, const Conv3d& p,
                      const Unary& f) {
  const auto& [name, x_axes, w_axes, items, rank] = kind;
  const auto text = [&](const Space& space) { return text_of(space, kind.rank == 5); };
  ENGINE_CHECK(is_float(x.dtype()) && x.dtype() == w.dtype() && (!bias || bias.dtype() == x.dtype()), name,
               ": expected tensors of one float type, got x ", x.dtype(), " and w ", w.dtype());
  ENGINE_CHECK(x.rank() == rank && w.rank() == rank, name, ": expected x ", x_axes, " and w ", w_axes, ", got ",
               x.shape(), " and ", w.shape());
  ENGINE_CHECK(std::ranges::min(p.stride()) >= 1 && std::ranges::min(p.dilation()) >= 1 && p.groups >= 1, name,
               ": strides, dilations and groups must be at least 1, got stride ", text(p.stride()), ", dilation ",
               text(p.dilation()), ", groups ", p.groups);
  ENGINE_CHECK(std::ranges::min(p.pad()) >= 0, name, ": the padding must not be negative, got ", text(p.pad()));
  ENGINE_CHECK(w.elements() > 0 && x.shape().elements(1, rank) > 0, name, ": empty ", items, " or weights: x ",
               x.shape(), ", w ", w.shape());
  ENGINE_CHECK(w.size(-1) * p.groups == x.size(-1) && w.size(0) % p.groups == 0, name, ": w ", w.shape(), " with ",
               p.groups, " groups does not fit x ", x.shape(), "; expected w ", w_axes,
               " and K a multiple of the groups");
  ENGINE_CHECK(!bias || bias.shape() == Shape{w.size(0)}, name, ": expected bias (", w.size(0), ") for w ", w.shape(),
               ", got ", bias.shape());
  ENGINE_CHECK(is_identity(f) || f.op == Unary::relu, name,
               ": the activation must be none or relu; apply others to the result");
  const Shape shape = conv_shape(p, x.shape(), w.shape());
  ENGINE_CHECK(shape.elements(1, rank) > 0, name, ": the kernel of w ", w.shape(), " with dilation ",
               text(p.dilation()), " is larger than the padded ", items, " of x ", x.shape(), "; use larger ", items,
               ", a smaller kernel or more padding");
  return shape;
}

Tensor convolve(const Kind& kind, const Tensor& x, const Tensor& w, const Tensor& bias, const Conv3d& p,
                const Unary& f) {
  const Shape shape = convolved_shape(kind, x, w, bias, p, f);
  const ProfiledPass pass = forward_pass(kind.name, x, 2.0 * shape.elements() * w.shape().elements(1, w.rank()));
  const Tensor y =
      computed(shape, x.dtype(), x.device(), [&](auto& ctx, View to) { conv_forward(ctx, p, f, x, w, bias, to); });
  return record(
      kind.name, {x, w, bias}, y,
      [=, x = x.detach(), w = w.detach(), saved = is_identity(f) ? Tensor() : y.detach(), need_dx = needs_grad(x),
       need_dw = needs_grad(w), need_dbias = bias && needs_grad(bias)](const Grads& dy) {
        const Tensor dz = saved ? unary_gradient(f, saved, dy[0]) : dy[0];
        const Tensor dx = need_dx ? Tensor::empty_like(x) : Tensor(), dw = need_dw ? Tensor::empty_like(w) : Tensor();
        const Tensor dbias = need_dbias ? Tensor::empty({w.size(0)}, w.dtype(), w.device()) : Tensor();
        compute(dz.device(), [&](auto& ctx) {
          if (dx) conv_backward_input(ctx, p, dz, w, dx);
          if (dw) conv_backward_weight(ctx, p, x, dz, dw);
          if (dbias) reduce_forward(ctx, {Reduce::sum, 0, dz.rank() - 1}, dz, dbias);
        });
        return Grads{dx, dw, dbias};
      });
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2d& p, const Unary& f) {
  return convolve(kImages, x, w, bias, over_time(p), f);
}

Tensor conv3d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv3d& p, const Unary& f) {
  return convolve(kClips, x, w, bias, p, f);
}

}  // namespace engine
