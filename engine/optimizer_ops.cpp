#include "engine/optimizer_ops.h"

#include "engine/autograd.h"

namespace engine {
namespace {

void check_arena(const char* name, const Tensor& x) {
  ENGINE_CHECK(x.dtype() == DType::f32 || x.dtype() == DType::f64, name, ": expected f32 or f64, got ", x.shape(), " ",
               x.dtype());
}

void check_like(const char* name, const char* what, const Tensor& param, const Tensor& other,
                bool may_be_bf16 = false) {
  ENGINE_CHECK(other.defined(), name, ": ", what, " is missing");
  const bool narrow = may_be_bf16 && param.dtype() == DType::f32 && other.dtype() == DType::bf16;
  ENGINE_CHECK(other.shape() == param.shape() && (narrow || other.dtype() == param.dtype()), name, ": expected ", what,
               " ", param.shape(), " ", param.dtype(), " like the parameters, got ", other.shape(), " ", other.dtype());
}

void check_scalar(const char* name, const char* what, const Tensor& scalar, DType dtype) {
  ENGINE_CHECK(scalar.defined() && scalar.elements() == 1 && scalar.dtype() == dtype, name, ": expected ", what,
               " to be one ", dtype);
}

void check_scalars(const char* name, const StepScalars& scalars) {
  check_scalar(name, "learning_rate", scalars.learning_rate, DType::f32);
  check_scalar(name, "step", scalars.step, DType::i64);
  check_scalar(name, "clip_factor", scalars.clip_factor, DType::f32);
  check_scalar(name, "skip", scalars.skip, DType::f32);
}

// What both updates take.
void check_update(const char* name, const StepScalars& scalars, const Tensor& grad, const Tensor& param,
                  const Tensor& copy) {
  check_arena(name, param);
  check_like(name, "the gradient", param, grad, true);
  if (copy)
    ENGINE_CHECK(param.dtype() == DType::f32 && copy.dtype() == DType::bf16 && copy.shape() == param.shape(), name,
                 ": expected a bf16 copy of f32 parameters, got ", copy.shape(), " ", copy.dtype(), " for ",
                 param.shape(), " ", param.dtype());
  check_scalars(name, scalars);
}

}  // namespace

StepScalars StepScalars::make(Device device) {
  return {Tensor::zeros({1}, DType::f32, device), Tensor::full({1}, 1.0, DType::i64, device),
          Tensor::full({1}, 1.0, DType::f32, device), Tensor::zeros({1}, DType::f32, device)};
}

void sum_of_squares(const Tensor& x, const Tensor& result) {
  if (x.dtype() != DType::bf16) check_arena("sum_of_squares", x);
  check_scalar("sum_of_squares", "the result", result, wide_type(x.dtype()));
  const ProfiledPass pass = forward_pass("sum_of_squares", x);
  compute(x.device(), [&](auto& ctx) { sum_of_squares(ctx, x, result); });
  tell_operands("sum_of_squares", {x}, {result});
}

void clip_and_flag(const Tensor& sum_of_squares, double max_norm, const StepScalars& scalars) {
  check_arena("clip_and_flag", sum_of_squares);
  check_scalar("clip_and_flag", "the sum of squares", sum_of_squares, sum_of_squares.dtype());
  check_scalars("clip_and_flag", scalars);
  compute(sum_of_squares.device(),
          [&](auto& ctx) { clip_and_flag(ctx, sum_of_squares, max_norm, scalars.clip_factor, scalars.skip); });
}

void sgd_update(const Sgd& p, const StepScalars& scalars, const Tensor& grad, const Tensor& param,
                const Tensor& momentum, const Tensor& copy) {
  check_update("sgd_update", scalars, grad, param, copy);
  if (p.momentum != 0) check_like("sgd_update", "the momentum", param, momentum);
  ENGINE_CHECK(!p.nesterov || p.momentum > 0, "sgd_update: Nesterov's method needs a momentum above 0");
  const ProfiledPass pass = forward_pass("sgd_update", param);
  compute(param.device(),
          [&](auto& ctx) { sgd_update(ctx, p, scalars, grad, param, p.momentum != 0 ? momentum : Tensor(), copy); });
  tell_operands("sgd_update", {grad, param, momentum}, {param, momentum, copy});
}

void adam_update(const Adam& p, const StepScalars& scalars, const Tensor& grad, const Tensor& param, const Tensor& m,
                 const Tensor& v, const Tensor& copy) {
  check_update("adam_update", scalars, grad, param, copy);
  check_like("adam_update", "the first moment", param, m);
  check_like("adam_update", "the second moment", param, v);
  const ProfiledPass pass = forward_pass("adam_update", param);
  compute(param.device(), [&](auto& ctx) { adam_update(ctx, p, scalars, grad, param, m, v, copy); });
  tell_operands("adam_update", {grad, param, m, v}, {param, m, v, copy});
}

}  // namespace engine
