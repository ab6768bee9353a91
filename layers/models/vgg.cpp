#include "layers/models/vgg.h"

#include "layers/conv2d.h"
#include "layers/dropout.h"
#include "layers/models/parts.h"
#include "layers/pool.h"

namespace engine::layers {
namespace {

constexpr Unary kRelu{Unary::relu};
constexpr double kDeviation = 0.01;  // of the linear layers' starting weights

}  // namespace

Vgg::Vgg(const ModelOptions& options, Random& random, int depth, int64_t hidden)
    : depth_(depth), channels_(options.channels), hidden_(hidden) {
  ENGINE_CHECK(depth == 11 || depth == 16, "vgg: expected 11 or 16 layers, not ", depth);
  const std::array<int, 5> convolutions = depth == 16 ? std::array{2, 2, 3, 3, 3} : std::array{1, 1, 2, 2, 2};
  int64_t inputs = channels_;
  for (size_t group = 0; group < convolutions.size(); ++group) {
    const int64_t width = std::min<int64_t>(512, int64_t{64} << group);
    for (int i = 0; i < convolutions[group]; ++i) {
      features_.push_back(std::make_shared<Conv2d>(inputs, width, random, Conv2d::Options{.activation = kRelu}));
      features_.push_back(std::make_shared<Fused>());
      inputs = width;
    }
    features_.push_back(std::make_shared<MaxPool2d>());
  }
  scale_convolutions(*add_child("features", std::make_shared<Sequential>(features_)));
  classifier_ = add_child("classifier", std::make_shared<Sequential>());
  for (const int64_t width : {map_channels() * 49, hidden}) {
    classifier_->append(std::make_shared<Linear>(width, hidden, random, Linear::Options{.activation = kRelu}));
    classifier_->append(std::make_shared<Fused>());
    classifier_->append(std::make_shared<Dropout>(options.dropout.value_or(0.5)));
  }
  if (options.outputs > 0) head_ = add_child("classifier.6", std::make_shared<Linear>(hidden, options.outputs, random));
  scale_linear(*this, kDeviation);
}

Tensor Vgg::map(const Tensor& images) {
  const LayerScope here = scope();
  check_input(*this, images, 4, channels_, 32);
  Tensor x = images;
  for (size_t i = 0; i < features_.size(); ++i) {
    x = (*features_[i])(x);
    if (dynamic_cast<const Fused*>(features_[i].get())) x = seen(concat("features.", i), x);
  }
  return x;
}

Tensor Vgg::features(const Tensor& clips) {
  const Tensor flat = adaptive_average_pool2d(map(clips.flatten(0, 1)), 7, 7).flatten(1, 3);
  return mean((*classifier_)(flat).reshape({clips.size(0), clips.size(1), hidden_}), 1, 1);
}

Tensor Vgg::forward(const Tensor& clips) {
  ENGINE_CHECK(head_, describe(), ": it was made without a head");
  return (*head_)(features(clips));
}

}  // namespace engine::layers
