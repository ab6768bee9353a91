// Moving and converting elements. Beside these only matmul, attention and the LSTM accept strides.
#pragma once

#include "kernels/context.h"

namespace engine {

// Assigns `value`, rounded to y's type, to every element. y contiguous.
ENGINE_KERNEL(fill, View y, double value);

// y = x, converted to y's type; same shape, strides arbitrary on both sides (so this also permutes, casts and gathers).
// Floats to bf16 and f64 to f32 round to nearest even; floats to integers truncate towards zero and must be in range.
// x and y must not overlap.
ENGINE_KERNEL(copy, ConstView x, View y);

// y += x; same shape and float type, contiguous. The only kernel besides optimizers that adds to its output: autograd
// uses it to accumulate gradients.
ENGINE_KERNEL(accumulate, ConstView x, View y);

}  // namespace engine
