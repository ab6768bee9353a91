#include "kernels/norm.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/dropout.h"

namespace engine {
namespace {

void check_parameter(const char* name, const char* what, const Tensor& x, const Tensor& parameter) {
  ENGINE_CHECK(parameter.defined(), name, ": ", what, " is missing; expected (", x.size(-1), ")");
  ENGINE_CHECK(parameter.shape() == Shape{x.size(-1)} && parameter.dtype() == wide_type(x.dtype()), name, ": expected ",
               what, " (", x.size(-1), ") ", wide_type(x.dtype()), " for x ", x.shape(), " ", x.dtype(), ", got ",
               parameter.shape(), " ", parameter.dtype());
}

// What all norms take: x, and w and bias for its channels.
void check_norm(const char* name, const Tensor& x, int lowest_rank, const char* expected, const Tensor& w,
                const Tensor& bias) {
  ENGINE_CHECK(x.defined() && is_float(x.dtype()), name, ": expected a float tensor ", expected);
  ENGINE_CHECK(x.rank() >= lowest_rank && x.size(-1) > 0, name, ": expected x ", expected, " with C > 0, got ",
               x.shape());
  check_parameter(name, "w", x, w);
  check_parameter(name, "bias", x, bias);
}

void check_residual(const char* name, const Tensor& x, const Tensor& residual) {
  ENGINE_CHECK(residual.shape() == x.shape() && residual.dtype() == x.dtype(), name, ": expected a residual ",
               x.shape(), " ", x.dtype(), " like x, got ", residual.shape(), " ", residual.dtype());
}

// Per-row statistics for x (..., C).
Tensor row_statistics(const Tensor& x) {
  return Tensor::empty(x.shape().slice(0, x.rank() - 1), wide_type(x.dtype()), x.device());
}

struct NormGrads {
  Tensor dx, dw, dbias;
  NormGrads(const Tensor& x, const Tensor& w)
      : dx(Tensor::empty_like(x)), dw(Tensor::empty_like(w)), dbias(Tensor::empty_like(w)) {}
};

void check_batch_norm(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& running_mean,
                      const Tensor& running_var, bool training, const Tensor& residual, const Unary& f) {
  check_norm("batch_norm", x, 2, "(N, ..., C)", w, bias);
  check_parameter("batch_norm", "running_mean", x, running_mean);
  check_parameter("batch_norm", "running_var", x, running_var);
  if (residual) check_residual("batch_norm", x, residual);
  ENGINE_CHECK(!training || x.elements() / x.size(-1) > 1,
               "batch_norm: training needs more than one value per channel, got x ", x.shape(),
               "; use a larger batch or the running statistics");
  ENGINE_CHECK(is_identity(f) || f.op == Unary::relu,
               "batch_norm: only relu or no activation can follow in the same kernel");
}

// {y, sum}, or without a residual {y}.
std::vector<Tensor> normalize_rows(const char* name, const Tensor& x, const Tensor& residual, const Tensor& w,
                                   const Tensor& bias, const LayerNorm& p, double dropout) {
  check_norm(name, x, 1, "(..., C)", w, bias);
  if (residual) check_residual(name, x, residual);
  const ProfiledPass pass = forward_pass(name, x);
  const DrawnDropout drop = draw_dropout(name, dropout, x.device());
  const bool adds = residual.defined(), drops = dropout > 0;
  const Tensor y = Tensor::empty_like(x), sum = adds ? Tensor::empty_like(x) : Tensor();
  const Tensor mean = row_statistics(x), rstd = row_statistics(x);
  compute(x.device(),
          [&](auto& ctx) { layer_norm_forward(ctx, p, drop.p, drop.step, x, residual, w, bias, y, sum, mean, rstd); });
  return record(name, {x, residual, w, bias}, adds ? std::vector<Tensor>{y, sum} : std::vector<Tensor>{y},
                [=, x = (adds ? sum : x).detach(), w = w.detach()](const Grads& dy) {
                  const Tensor dsum = adds ? dy[1] : Tensor();
                  if (!dy[0]) return Grads{drops ? drop(dsum) : dsum, dsum, {}, {}};
                  const NormGrads g(x, w);
                  const Tensor dresidual = drops ? Tensor::empty_like(x) : Tensor();
                  compute(x.device(), [&](auto& ctx) {
                    layer_norm_backward(ctx, drop.p, drop.step, x, w, mean, rstd, dy[0], dsum, g.dx, dresidual, g.dw,
                                        g.dbias);
                  });
                  return Grads{g.dx, drops || !adds ? dresidual : g.dx, g.dw, g.dbias};
                });
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& w, const Tensor& bias, const LayerNorm& p) {
  return normalize_rows("layer_norm", x, {}, w, bias, p, 0)[0];
}

std::vector<Tensor> residual_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& w, const Tensor& bias,
                                        const LayerNorm& p, double dropout) {
  ENGINE_CHECK(residual.defined(), "residual_layer_norm: the residual is missing");
  return normalize_rows("residual_layer_norm", x, residual, w, bias, p, dropout);
}

// Layer norm of rows that are a group each; then batch norm by statistics 0 and 1, which leaves y w + bias.
Tensor group_norm(const Tensor& x, const Tensor& w, const Tensor& bias, int64_t groups, double eps) {
  check_norm("group_norm", x, 2, "(N, ..., C)", w, bias);
  const int64_t batch = x.size(0), width = groups < 1 ? 0 : x.size(-1) / groups;
  ENGINE_CHECK(x.elements() > 0 && width * groups == x.size(-1), "group_norm: x ", x.shape(),
               " is empty or its channels do not divide into ", groups, " groups");
  const int64_t places = x.shape().elements(1, x.rank() - 1);
  const auto constant = [&](int64_t size, double value) { return Tensor::full({size}, value, w.dtype(), x.device()); };
  const Tensor rows = permute(x.reshape({batch, places, groups, width}), {0, 2, 1, 3}).flatten(2, 3);
  const Tensor y = layer_norm(rows, constant(rows.size(-1), 1), constant(rows.size(-1), 0), {eps});
  return batch_norm(permute(y.reshape({batch, groups, places, width}), {0, 2, 1, 3}).reshape(x.shape()), w, bias,
                    constant(w.size(0), 0), constant(w.size(0), 1), false, {.eps = 0});
}

Tensor batch_norm(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, const BatchNorm& p, const Tensor& residual,
                  const Unary& f) {
  check_batch_norm(x, w, bias, running_mean, running_var, training, residual, f);
  const ProfiledPass pass = forward_pass("batch_norm", x);
  const Tensor y = Tensor::empty_like(x), mean = Tensor::empty_like(running_mean),
               rstd = Tensor::empty_like(running_var);
  compute(x.device(), [&](auto& ctx) {
    batch_norm_forward(ctx, p, f, training, x, residual, w, bias, y, mean, rstd, running_mean, running_var);
  });
  const bool relu = f.op == Unary::relu, has_residual = residual.defined();
  return record(
      "batch_norm", {x, w, bias, residual}, y,
      [=, x = x.detach(), w = w.detach(), bias = bias.detach(), y = relu ? y.detach() : Tensor()](const Grads& dy) {
        const NormGrads g(x, w);
        const Tensor dresidual = relu && has_residual ? Tensor::empty_like(x) : Tensor();
        compute(x.device(), [&](auto& ctx) {
          batch_norm_backward(ctx, training, x, y, w, bias, mean, rstd, dy[0], g.dx, dresidual, g.dw, g.dbias);
        });
        return Grads{g.dx, g.dw, g.dbias, relu || !has_residual ? dresidual : dy[0]};
      });
}

}  // namespace engine
