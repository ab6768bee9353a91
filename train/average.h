// Exponential moving average of a network's weights and of the statistics in its buffers.
#pragma once

#include "engine/arena.h"
#include "engine/optimizer_ops.h"

namespace engine {

// Rounds the f32 masters to the bf16 copies that the network computes with, where it does.
void refresh_copies(const ParameterArena& arena);

// After update t = 1, 2, ... every average is decay_t average + (1 - decay_t) value, decay_t = min(decay, (1 + t) / (10
// + t)): TensorFlow's ExponentialMovingAverage with num_updates, which forgets the random start soon. It begins at the
// values themselves. f32, of f32 masters; frozen parameters are their own average.
class WeightAverage {
 public:
  // The arena must outlive it, and is f32.
  WeightAverage(const ParameterArena& arena, double decay);

  // The number t of the update that is about to be made.
  void begin_step(int64_t number);
  // One pass over flat memory, none where `skip` (one f32, in the device's memory) is not 0.
  void update(const Tensor& skip);
  // The average of a tensor in the arena, of its master where it has one; what has none is given back itself.
  Tensor of(const Tensor& tensor) const;
  // Puts the averages in the place of the values, also of bf16 copies, and the values in theirs.
  void exchange();

 private:
  const ParameterArena& arena_;
  double decay_;
  StepScalars scalars_;
  Tensor values_, buffers_;  // averages; buffers_ is undefined where there are none
};

}  // namespace engine
