#include "train/optimizer.h"

#include <cmath>

#include "engine/autograd.h"
#include "engine/ops.h"

namespace engine {

Optimizer::Optimizer(const ParameterArena& arena, const OptimizerOptions& options)
    : arena_(arena), options_(options), scalars_(StepScalars::make(arena.values().device())) {
  const Tensor trained = arena.values().slice(0, arena.trainable_elements());
  int64_t groups = 0;
  for (const ParameterArena::Group& group : arena.groups()) groups += group.frozen ? 0 : 1;
  squared_norms_ = Tensor::zeros({groups}, trained.dtype(), trained.device());
  squared_norm_ = Tensor::zeros({1}, trained.dtype(), trained.device());
  const bool adam = options.kind != OptimizerKind::sgd;
  if (adam || options.momentum > 0) first_moment_ = Tensor::zeros_like(trained);
  if (adam) second_moment_ = Tensor::zeros_like(trained);
}

void Optimizer::begin_step(int64_t number, double learning_rate) {
  fill(scalars_.step, static_cast<double>(number));
  fill(scalars_.learning_rate, learning_rate);
}

void Optimizer::update() {
  const NoGrad no_grad;
  arena_.finish_grad();
  int64_t index = 0;
  for (const ParameterArena::Group& group : arena_.groups())
    if (!group.frozen) sum_of_squares(group.grads, squared_norms_.slice(index, index + 1)), ++index;
  squared_norm_.copy_from(sum(squared_norms_).reshape({1}));
  clip_and_flag(squared_norm_, options_.clip_norm, scalars_);
  for (const ParameterArena::Group& group : arena_.groups())
    if (!group.frozen) update(group);
}

void Optimizer::update(const ParameterArena::Group& group) {
  const auto part = [&](const Tensor& arena) { return arena ? arena.slice(group.begin, group.end) : Tensor(); };
  const double decay = group.decay ? options_.weight_decay : 0.0;
  if (options_.kind == OptimizerKind::sgd) {
    sgd_update({.momentum = options_.momentum, .weight_decay = decay}, scalars_, group.grads, group.values,
               part(first_moment_), group.copies);
    return;
  }
  const Adam adam{.weight_decay = decay, .decoupled = options_.kind == OptimizerKind::adamw};
  adam_update(adam, scalars_, group.grads, group.values, part(first_moment_), part(second_moment_), group.copies);
}

std::vector<NamedTensor> Optimizer::moments() const {
  std::vector<NamedTensor> result;
  const auto add = [&](const char* prefix, const Tensor& moments) {
    if (!moments) return;
    for (const ParameterArena::Slot& slot : arena_.slots()) {
      if (!slot.gradient) continue;  // frozen
      const Tensor part = moments.slice(slot.begin, slot.begin + slot.tensor.elements());
      result.push_back({prefix + slot.name, part.reshape(slot.tensor.shape())});
    }
  };
  add("first_moment.", first_moment_);
  add("second_moment.", second_moment_);
  return result;
}

double Optimizer::gradient_norm() const { return std::sqrt(squared_norm_.item()); }

}  // namespace engine
