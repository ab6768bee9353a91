#include "layers/conv3d.h"

#include <numbers>

#include "layers/init.h"

namespace engine::layers {

Conv3d::Conv3d(int64_t inputs, int64_t outputs, Random& random, const Options& options) : options_(options) {
  const int64_t groups = options.conv.groups;
  ENGINE_CHECK(groups >= 1 && inputs % groups == 0 && outputs % groups == 0, "Conv3d: ", inputs, " inputs and ",
               outputs, " outputs do not divide into ", groups, " groups");
  const auto [u, r, s] = options.kernel;
  const Shape shape{outputs, u, r, s, inputs / groups};
  const double gain = options.activation.op == Unary::relu ? std::numbers::sqrt2 : 1.0;
  weight_ = add_parameter("weight", kaiming_uniform(shape, shape.elements(1, 5), gain, random));
  if (options.bias) bias_ = add_parameter("bias", Tensor::zeros({outputs}));
}

Tensor Conv3d::forward(const Tensor& x) {
  const engine::Conv3d& p = options_.conv;
  const auto [u, r, s] = options_.kernel;
  const bool clips = x.rank() == 5;
  if (clips && u == 1 && p.stride_t == 1 && p.pad_t == 0) {
    const engine::Conv2d in_frame{p.stride_h, p.stride_w, p.pad_h, p.pad_w, p.dilation_h, p.dilation_w, p.groups};
    const Tensor y = conv2d(x.flatten(0, 1), weight_.flatten(0, 1), bias_, in_frame, options_.activation);
    return y.reshape({x.size(0), x.size(1), y.size(1), y.size(2), y.size(3)});
  }
  if (clips && r == 1 && s == 1 && p.stride_h == 1 && p.stride_w == 1 && p.pad_h == 0 && p.pad_w == 0) {
    const engine::Conv2d in_time{p.stride_t, 1, p.pad_t, 0, p.dilation_t, 1, p.groups};
    const Tensor y = conv2d(x.flatten(2, 3), weight_.flatten(2, 3), bias_, in_time, options_.activation);
    return y.reshape({x.size(0), y.size(1), x.size(2), x.size(3), y.size(3)});
  }
  return conv3d(x, weight_, bias_, p, options_.activation);
}

std::string Conv3d::describe() const {
  return concat("Conv3d ", weight_.size(4) * options_.conv.groups, " to ", weight_.size(0), ", ",
                text_of(options_.kernel, true), ", stride ", text_of(options_.conv.stride(), true));
}

}  // namespace engine::layers
