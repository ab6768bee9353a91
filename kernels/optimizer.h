// What an optimizer does to memory: one pass over flat arenas of gradients, parameters and moments. Everything that
// changes from step to step is read from one-element views when the kernel runs, so that a recorded step can be
// replayed.
#pragma once

#include "kernels/context.h"

namespace engine {

// result = sum of x[i]^2, one element of x's type (f32 or f64), summed in double in a fixed order. NaN and infinity
// stay visible; in f32 a sum beyond 3e38 is infinite.
void sum_of_squares(CpuContext& ctx, ConstView x, View result);
void sum_of_squares(CudaContext& ctx, ConstView x, View result);

// From the squared norm of all gradients, f32 or f64: skip = 1 where it is not finite, else 0;
// clip_factor = min(1, max_norm / (norm + 1e-6)), 1 where max_norm <= 0, and 0 where the norm is not finite. Both f32.
void clip_and_flag(CpuContext& ctx, ConstView sum_of_squares, double max_norm, View clip_factor, View skip);
void clip_and_flag(CudaContext& ctx, ConstView sum_of_squares, double max_norm, View clip_factor, View skip);

// One-element views.
struct StepViews {
  ConstView learning_rate;  // f32
  ConstView step;           // i64, the first is 1
  ConstView clip_factor;    // f32, multiplies the gradient
  ConstView skip;           // f32; where it is not 0 nothing is changed
};

// With g = clip grad + weight_decay param:
//   without momentum: param -= lr g;
//   with: m = momentum m + g, then param -= lr m, or (Nesterov) param -= lr (g + momentum m). m starts at 0.
struct Sgd {
  double momentum = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
};

// grad, param, m: (count), f32 or f64; m undefined where momentum is 0.
void sgd_update(CpuContext& ctx, const Sgd& p, const StepViews& s, ConstView grad, View param, View m);
void sgd_update(CudaContext& ctx, const Sgd& p, const StepViews& s, ConstView grad, View param, View m);

// Adam (Kingma and Ba, arXiv 1412.6980) with g = clip grad, t the step:
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
//   param -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).
// Weight decay adds weight_decay param to g; decoupled (AdamW, Loshchilov and Hutter, arXiv 1711.05101) it takes
// lr weight_decay param from param instead. m and v start at 0.
struct Adam {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool decoupled = true;
};

// grad, param, m, v: (count), f32 or f64.
void adam_update(CpuContext& ctx, const Adam& p, const StepViews& s, ConstView grad, View param, View m, View v);
void adam_update(CudaContext& ctx, const Adam& p, const StepViews& s, ConstView grad, View param, View m, View v);

}  // namespace engine
