// Softmax over the innermost axis: x, y, dy, dx (..., C), one shape and float type, contiguous, C > 0.
#pragma once

#include "kernels/context.h"

namespace engine {

// softmax: y[c] = e^(x[c] - m) / sum over k of e^(x[k] - m), m the row's maximum. log: its logarithm, computed as such.
enum class Softmax : uint8_t { softmax, log };

ENGINE_KERNEL(softmax_forward, Softmax kind, ConstView x, View y);

// dx from y. dx may be dy.
//   softmax: dx[c] = y[c] (dy[c] - sum over k of dy[k] y[k]);  log: dx[c] = dy[c] - e^y[c] sum over k of dy[k].
ENGINE_KERNEL(softmax_backward, Softmax kind, ConstView y, ConstView dy, View dx);

}  // namespace engine
