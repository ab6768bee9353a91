// Starting values of weights.
#pragma once

#include "engine/random.h"

namespace engine::layers {

// Uniform in +-sqrt(3) gain / sqrt(fan_in): variance gain^2 / fan_in. gain sqrt(2) keeps the variance of activations
// through layers followed by ReLU (He, Zhang, Ren and Sun, arXiv 1502.01852), gain 1 through linear ones.
Tensor kaiming_uniform(const Shape& shape, int64_t fan_in, double gain, Random& random);

// Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, AISTATS 2010).
Tensor xavier_uniform(const Shape& shape, int64_t fan_in, int64_t fan_out, Random& random);

}  // namespace engine::layers
