#include "layers/conv2d.h"

#include <numbers>

#include "layers/init.h"

namespace engine::layers {

Conv2d::Conv2d(int64_t inputs, int64_t outputs, Random& random) : Conv2d(inputs, outputs, random, {}) {}

Conv2d::Conv2d(int64_t inputs, int64_t outputs, Random& random, const Options& options) : options_(options) {
  const int64_t groups = options.conv.groups;
  ENGINE_CHECK(groups >= 1 && inputs % groups == 0 && outputs % groups == 0, "Conv2d: ", inputs, " inputs and ",
               outputs, " outputs do not divide into ", groups, " groups");
  const Shape shape{outputs, options.kernel_h, options.kernel_w, inputs / groups};
  const double gain = options.activation.op == Unary::relu ? std::numbers::sqrt2 : 1.0;
  weight_ = add_parameter("weight", kaiming_uniform(shape, shape.elements(1, 4), gain, random));
  if (options.bias) bias_ = add_parameter("bias", Tensor::zeros({outputs}));
}

std::string Conv2d::describe() const {
  return concat("Conv2d ", weight_.size(3) * options_.conv.groups, " to ", weight_.size(0), ", ", weight_.size(1), "x",
                weight_.size(2), ", stride ", options_.conv.stride_h, "x", options_.conv.stride_w, ", padding ",
                options_.conv.pad_h, "x", options_.conv.pad_w, options_.activation.op == Unary::relu ? ", relu" : "");
}

}  // namespace engine::layers
