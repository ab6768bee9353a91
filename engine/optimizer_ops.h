// The arithmetic of optimizers on flat arenas (kernels/optimizer.h has the formulas). Not differentiable; they write
// into the tensors given. What an optimizer decides (groups, schedules, when to step) is not here.
#pragma once

#include "engine/tensor.h"
#include "kernels/optimizer.h"

namespace engine {

// What changes from step to step, in the memory of the device: one element each.
struct StepScalars {
  Tensor learning_rate;  // f32
  Tensor step;           // i64, the first is 1
  Tensor clip_factor;    // f32
  Tensor skip;           // f32; not 0: updates change nothing (but see zero_grad)

  // Learning rate 0, step 1, no clipping, not skipping.
  static StepScalars make(Device device);
  operator StepViews() const { return {learning_rate, step, clip_factor, skip}; }
};

// result: one f32, f64 for f64. With several arenas, add their results before clip_and_flag().
void sum_of_squares(const Tensor& x, const Tensor& result);
// Sets scalars.clip_factor and scalars.skip. max_norm <= 0: no clipping, only the flag.
void clip_and_flag(const Tensor& sum_of_squares, double max_norm, const StepScalars& scalars);

// momentum: undefined where p.momentum is 0. copy: undefined, or bf16, which gets the updated f32 parameters.
void sgd_update(const Sgd& p, const StepScalars& scalars, const Tensor& grad, const Tensor& param,
                const Tensor& momentum, const Tensor& copy = {});
void adam_update(const Adam& p, const StepScalars& scalars, const Tensor& grad, const Tensor& param, const Tensor& m,
                 const Tensor& v, const Tensor& copy = {});

}  // namespace engine
