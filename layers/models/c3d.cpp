#include "layers/models/c3d.h"

#include "layers/models/parts.h"

namespace engine::layers {
namespace {

constexpr Unary kRelu{Unary::relu};
constexpr double kDeviation = 0.01;  // of the last layer's starting weights

}  // namespace

C3d::C3d(const ModelOptions& options, Random& random, int64_t hidden) : channels_(options.channels), hidden_(hidden) {
  int64_t inputs = channels_;
  for (int group = 0; group < 5; ++group) {
    const int64_t width = std::min<int64_t>(512, int64_t{64} << group);
    groups_.emplace_back();
    for (const char* letter : group < 2 ? std::vector{""} : std::vector{"a", "b"}) {
      const Conv3d::Options conv{.activation = kRelu};
      groups_.back().push_back(
          add_child(concat("conv", group + 1, letter), std::make_shared<Conv3d>(inputs, width, random, conv)));
      inputs = width;
    }
  }
  const Linear::Options relu{.activation = kRelu};
  const double dropout = options.dropout.value_or(0.5);
  fc6_ = add_child("fc6", std::make_shared<Linear>(inputs * 16, hidden, random, relu));
  dropout6_ = add_child("dropout6", std::make_shared<Dropout>(dropout));
  fc7_ = add_child("fc7", std::make_shared<Linear>(hidden, hidden, random, relu));
  dropout7_ = add_child("dropout7", std::make_shared<Dropout>(dropout));
  if (options.outputs == 0) return;
  fc8_ = add_child("fc8", std::make_shared<Linear>(hidden, options.outputs, random));
  scale_linear(*fc8_, kDeviation);
}

Tensor C3d::features(const Tensor& clips) {
  check_input(*this, clips, 5, channels_, 16);
  Tensor x = clips;
  for (size_t group = 0; group < groups_.size(); ++group) {
    for (const auto& convolution : groups_[group]) x = (*convolution)(x);
    x = seen(concat("conv", group + 1, groups_[group].size() > 1 ? "b" : ""), x);
    const int64_t over_time = group == 0 ? 1 : std::min<int64_t>(2, x.size(1)), pad = group == 4 ? 1 : 0;
    x = max_pool3d(x, {.kernel_t = over_time, .stride_t = over_time, .pad_h = pad, .pad_w = pad});
  }
  x = adaptive_average_pool2d(mean(x, 1, 1), 4, 4).flatten(1, 3);
  x = (*dropout6_)((*fc6_)(x));
  return (*dropout7_)((*fc7_)(x));
}

Tensor C3d::forward(const Tensor& clips) {
  ENGINE_CHECK(fc8_, "c3d: it was made without a head");
  return (*fc8_)(features(clips));
}

}  // namespace engine::layers
