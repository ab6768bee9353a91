#include "train/average.h"

#include <algorithm>

#include "engine/autograd.h"

namespace engine {
namespace {

void exchange_contents(const Tensor& a, const Tensor& b) {
  const Tensor kept = a.clone();
  a.copy_from(b);
  b.copy_from(kept);
}

}  // namespace

void refresh_copies(const ParameterArena& arena) {
  for (const ParameterArena::Group& group : arena.groups())
    if (group.copies) group.copies.copy_from(group.values);
}

WeightAverage::WeightAverage(const ParameterArena& arena, double decay)
    : arena_(arena), decay_(decay), scalars_(StepScalars::make(arena.values().device())) {
  ENGINE_CHECK(decay > 0 && decay < 1, "average of weights: the decay must be over 0 and under 1, not ", decay);
  values_ = arena.values().slice(0, arena.trainable_elements()).clone();
  if (arena.buffers()) buffers_ = arena.buffers().clone();
  fill(scalars_.clip_factor, -1.0);
}

void WeightAverage::begin_step(int64_t number) {
  const auto t = static_cast<double>(number);
  fill(scalars_.learning_rate, 1 - std::min(decay_, (1 + t) / (10 + t)));
}

// Plain SGD at rate 1 - decay_t down the gradient average - value: with -1 for the factor of clipping and 1 for weight
// decay, sgd_update() takes -value for its gradient and the average for its parameters.
void WeightAverage::update(const Tensor& skip) {
  const NoGrad no_grad;
  StepScalars scalars = scalars_;
  scalars.skip = skip;
  const Sgd towards_values{.weight_decay = 1.0};
  sgd_update(towards_values, scalars, arena_.values().slice(0, arena_.trainable_elements()), values_, {});
  if (buffers_) sgd_update(towards_values, scalars, arena_.buffers(), buffers_, {});
}

Tensor WeightAverage::of(const Tensor& tensor) const {
  const Tensor master = arena_.master(tensor);
  const auto in = [&](const Tensor& arena, const Tensor& averages) {
    if (!averages || master.storage() != arena.storage()) return Tensor();
    const auto begin = static_cast<int64_t>(master.offset() - arena.offset()) / size_of(arena.dtype());
    if (begin >= averages.elements()) return Tensor();  // frozen
    return averages.slice(begin, begin + master.elements()).reshape(master.shape());
  };
  for (const Tensor& found : {in(arena_.values(), values_), in(arena_.buffers(), buffers_)})
    if (found) return found;
  return master;
}

void WeightAverage::exchange() {
  const NoGrad no_grad;
  exchange_contents(arena_.values().slice(0, arena_.trainable_elements()), values_);
  if (buffers_) exchange_contents(arena_.buffers(), buffers_);
  refresh_copies(arena_);
}

}  // namespace engine
