#include "layers/init.h"

#include <cmath>

namespace engine::layers {

Tensor kaiming_uniform(const Shape& shape, int64_t fan_in, double gain, Random& random) {
  const double bound = gain * std::sqrt(3.0 / static_cast<double>(fan_in));
  return uniform(shape, -bound, bound, random);
}

Tensor xavier_uniform(const Shape& shape, int64_t fan_in, int64_t fan_out, Random& random) {
  const double bound = std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
  return uniform(shape, -bound, bound, random);
}

}  // namespace engine::layers
