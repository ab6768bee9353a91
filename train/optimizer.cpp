#include "train/optimizer.h"

#include <cmath>

namespace engine {

Optimizer::Optimizer(const ParameterArena& arena, const OptimizerOptions& options)
    : arena_(arena), options_(options), scalars_(StepScalars::make(arena.values().device())) {
  const Tensor& grads = arena.grads();
  squared_norm_ = Tensor::zeros({1}, grads.dtype(), grads.device());
  const bool adam = options.kind != OptimizerKind::sgd;
  if (adam || options.momentum > 0) first_moment_ = Tensor::zeros_like(grads);
  if (adam) second_moment_ = Tensor::zeros_like(grads);
}

void Optimizer::begin_step(int64_t number, double learning_rate) {
  scalars_.step.copy_from(Tensor::full({1}, static_cast<double>(number), DType::i64));
  scalars_.learning_rate.copy_from(Tensor::full({1}, learning_rate));
}

void Optimizer::update() {
  arena_.finish_grad();
  sum_of_squares(arena_.grads(), squared_norm_);
  clip_and_flag(squared_norm_, options_.clip_norm, scalars_);
  for (const ParameterArena::Group& group : arena_.groups())
    if (!group.frozen) update(group);
}

void Optimizer::update(const ParameterArena::Group& group) {
  const auto part = [&](const Tensor& arena) { return arena ? arena.slice(group.begin, group.end) : Tensor(); };
  const Tensor grad = part(arena_.grads()), param = part(arena_.values());
  const double decay = group.decay ? options_.weight_decay : 0.0;
  if (options_.kind == OptimizerKind::sgd) {
    sgd_update({.momentum = options_.momentum, .weight_decay = decay}, scalars_, grad, param, part(first_moment_));
    return;
  }
  const Adam adam{.weight_decay = decay, .decoupled = options_.kind == OptimizerKind::adamw};
  adam_update(adam, scalars_, grad, param, part(first_moment_), part(second_moment_));
}

double Optimizer::gradient_norm() const { return std::sqrt(squared_norm_.item()); }

}  // namespace engine
