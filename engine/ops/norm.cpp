#include "kernels/norm.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/dropout.h"

namespace engine {
namespace {

// Statistics and weights stay f32 where x is bf16.
DType parameter_type(const Tensor& x) { return x.dtype() == DType::bf16 ? DType::f32 : x.dtype(); }

void check_input(const char* name, const Tensor& x, int lowest_rank, const char* expected) {
  ENGINE_CHECK(x.defined() && is_float(x.dtype()), name, ": expected a float tensor ", expected);
  ENGINE_CHECK(x.rank() >= lowest_rank && x.size(-1) > 0, name, ": expected x ", expected, " with C > 0, got ",
               x.shape());
}

void check_parameter(const char* name, const char* what, const Tensor& x, const Tensor& parameter) {
  ENGINE_CHECK(parameter.defined(), name, ": ", what, " is missing; expected (", x.size(-1), ")");
  ENGINE_CHECK(parameter.shape() == Shape{x.size(-1)} && parameter.dtype() == parameter_type(x), name, ": expected ",
               what, " (", x.size(-1), ") ", parameter_type(x), " for x ", x.shape(), " ", x.dtype(), ", got ",
               parameter.shape(), " ", parameter.dtype());
}

void check_residual(const char* name, const Tensor& x, const Tensor& residual) {
  ENGINE_CHECK(residual.shape() == x.shape() && residual.dtype() == x.dtype(), name, ": expected a residual ",
               x.shape(), " ", x.dtype(), " like x, got ", residual.shape(), " ", residual.dtype());
}

void check_layer_norm(const char* name, const Tensor& x, const Tensor& w, const Tensor& bias) {
  check_input(name, x, 1, "(..., C)");
  check_parameter(name, "w", x, w);
  check_parameter(name, "bias", x, bias);
}

// Per-row statistics for x (..., C).
Tensor row_statistics(const Tensor& x) {
  return Tensor::empty(x.shape().slice(0, x.rank() - 1), parameter_type(x), x.device());
}

struct NormGrads {
  Tensor dx, dw, dbias;
  NormGrads(const Tensor& x, const Tensor& w)
      : dx(Tensor::empty_like(x)), dw(Tensor::empty_like(w)), dbias(Tensor::empty_like(w)) {}
};

void check_batch_norm(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& running_mean,
                      const Tensor& running_var, bool training, const Tensor& residual, const Unary& f) {
  check_input("batch_norm", x, 2, "(N, ..., C)");
  check_parameter("batch_norm", "w", x, w);
  check_parameter("batch_norm", "bias", x, bias);
  check_parameter("batch_norm", "running_mean", x, running_mean);
  check_parameter("batch_norm", "running_var", x, running_var);
  if (residual) check_residual("batch_norm", x, residual);
  ENGINE_CHECK(!training || x.elements() / x.size(-1) > 1,
               "batch_norm: training needs more than one value per channel, got x ", x.shape(),
               "; use a larger batch or the running statistics");
  const bool identity = f.op == Unary::affine && f.alpha == 1.0 && f.beta == 0.0;
  ENGINE_CHECK(identity || f.op == Unary::relu, "batch_norm: only relu or no activation can follow in the same kernel");
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& w, const Tensor& bias, const LayerNorm& p) {
  check_layer_norm("layer_norm", x, w, bias);
  const Tensor y = Tensor::empty_like(x), mean = row_statistics(x), rstd = row_statistics(x), none;
  on(x.device(), [&](auto& ctx) { layer_norm_forward(ctx, p, {}, none, x, none, w, bias, y, none, mean, rstd); });
  return record("layer_norm", {x, w, bias}, y, [=, x = x.detach(), w = w.detach()](const Grads& dy) {
    const NormGrads g(x, w);
    on(x.device(), [&](auto& ctx) {
      layer_norm_backward(ctx, {}, none, x, w, mean, rstd, dy[0], none, g.dx, none, g.dw, g.dbias);
    });
    return Grads{g.dx, g.dw, g.dbias};
  });
}

std::vector<Tensor> residual_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& w, const Tensor& bias,
                                        const LayerNorm& p, double dropout) {
  const char* const name = "residual_layer_norm";
  check_layer_norm(name, x, w, bias);
  check_residual(name, x, residual);
  const DrawnDropout drop = draw_dropout(name, dropout, x.device());
  const Tensor y = Tensor::empty_like(x), sum = Tensor::empty_like(x);
  const Tensor mean = row_statistics(x), rstd = row_statistics(x);
  on(x.device(),
     [&](auto& ctx) { layer_norm_forward(ctx, p, drop.p, drop.step, x, residual, w, bias, y, sum, mean, rstd); });
  return record(name, {x, residual, w, bias}, {y, sum}, [=, sum = sum.detach(), w = w.detach()](const Grads& dy) {
    const bool drops = drop.p.probability > 0;
    if (!dy[0]) return Grads{drops ? drop(dy[1]) : dy[1], dy[1], {}, {}};
    const NormGrads g(sum, w);
    const Tensor dresidual = drops ? Tensor::empty_like(sum) : Tensor();
    on(sum.device(), [&](auto& ctx) {
      layer_norm_backward(ctx, drop.p, drop.step, sum, w, mean, rstd, dy[0], dy[1], g.dx, dresidual, g.dw, g.dbias);
    });
    return Grads{g.dx, drops ? dresidual : g.dx, g.dw, g.dbias};
  });
}

Tensor batch_norm(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, const BatchNorm& p, const Tensor& residual,
                  const Unary& f) {
  check_batch_norm(x, w, bias, running_mean, running_var, training, residual, f);
  const Tensor y = Tensor::empty_like(x), mean = Tensor::empty_like(running_mean),
               rstd = Tensor::empty_like(running_var);
  on(x.device(), [&](auto& ctx) {
    batch_norm_forward(ctx, p, f, training, x, residual, w, bias, y, mean, rstd, running_mean, running_var);
  });
  const bool relu = f.op == Unary::relu, has_residual = residual.defined();
  return record(
      "batch_norm", {x, w, bias, residual}, y,
      [=, x = x.detach(), w = w.detach(), bias = bias.detach(), y = relu ? y.detach() : Tensor()](const Grads& dy) {
        const NormGrads g(x, w);
        const Tensor dresidual = relu && has_residual ? Tensor::empty_like(x) : Tensor();
        on(x.device(), [&](auto& ctx) {
          batch_norm_backward(ctx, training, x, y, w, bias, mean, rstd, dy[0], g.dx, dresidual, g.dw, g.dbias);
        });
        return Grads{g.dx, g.dw, g.dbias, relu || !has_residual ? dresidual : dy[0]};
      });
}

}  // namespace engine
