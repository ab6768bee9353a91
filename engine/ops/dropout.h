// For ops that drop elements.
#pragma once

#include "engine/tensor.h"
#include "kernels/dropout.h"

namespace engine {

// What an op of this pass drops with: forward and backward alike.
struct DrawnDropout {
  Dropout p;
  Tensor step;  // undefined where the probability is 0

  Tensor operator()(const Tensor& x) const;  // no gradient
};
// By StepRandom (engine/random.h), of which nothing is taken where the probability is 0. `op` is for messages.
DrawnDropout draw_dropout(const char* op, double probability, Device device);

}  // namespace engine
