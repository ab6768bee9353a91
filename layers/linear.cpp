#include "layers/linear.h"

#include <numbers>

#include "layers/init.h"

namespace engine::layers {

Linear::Linear(int64_t inputs, int64_t outputs, Random& random) : Linear(inputs, outputs, random, {}) {}

Linear::Linear(int64_t inputs, int64_t outputs, Random& random, const Options& options) : options_(options) {
  const double gain = options.activation.op == Unary::relu ? std::numbers::sqrt2 : 1.0;
  weight_ = add_parameter("weight", kaiming_uniform({outputs, inputs}, inputs, gain, random));
  if (options.bias) bias_ = add_parameter("bias", Tensor::zeros({outputs}));
}

std::string Linear::describe() const { return concat("Linear ", weight_.size(1), " to ", weight_.size(0)); }

}  // namespace engine::layers
