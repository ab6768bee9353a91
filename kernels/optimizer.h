// What an optimizer does to memory: one pass over flat arenas of gradients, parameters and moments. Everything that
// changes from step to step is read from one-element views when the kernel runs, so that a recorded step can be
// replayed. On CUDA there is no f64.
#pragma once

#include "kernels/context.h"

namespace engine {

// result = sum of x[i]^2, summed in double in a fixed order; x f32, bf16 or f64, result one f32 (f64 for f64). NaN and
// infinity stay visible; in f32 a sum beyond 3e38 is infinite.
ENGINE_KERNEL(sum_of_squares, ConstView x, View result);

// From the squared norm of all gradients, f32 or f64: skip = 1 where it is not finite, else 0;
// clip_factor = min(1, max_norm / (norm + 1e-6)), 1 where max_norm <= 0, and 0 where the norm is not finite. Both f32.
ENGINE_KERNEL(clip_and_flag, ConstView sum_of_squares, double max_norm, View clip_factor, View skip);

// One-element views.
struct StepViews {
  ConstView learning_rate;  // f32
  ConstView step;           // i64, the first is 1
  ConstView clip_factor;    // f32, multiplies the gradient
  ConstView skip;           // f32; where it is not 0 nothing is changed but what zero_grad says
};

// Of both updates: param and the moments (count), all f32 or all f64. With f32, grad may be bf16, and `copy` (bf16;
// undefined: none) gets the updated parameters, rounded: mixed precision, whose f32 parameters are the master of the
// bf16 ones that the model computes with. grad is written only with zero_grad. Same bits as casting, updating and
// filling one after the other.

// With g = clip grad + weight_decay param:
//   without momentum: param -= lr g;
//   with: m = momentum m + g, then param -= lr m, or (Nesterov) param -= lr (g + momentum m). m starts at 0.
struct Sgd {
  double momentum = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
  bool zero_grad = false;  // the gradient is used up and becomes 0, in a skipped step too
};

// m: undefined where momentum is 0.
ENGINE_KERNEL(sgd_update, const Sgd& p, const StepViews& s, View grad, View param, View m, View copy);

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
  bool zero_grad = false;  // as in Sgd
};

ENGINE_KERNEL(adam_update, const Adam& p, const StepViews& s, View grad, View param, View m, View v, View copy);

}  // namespace engine
