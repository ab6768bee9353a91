#include "layers/models/sora_cnn.h"

namespace engine::layers {

SoraCnn::SoraCnn(const Options& options, Random& random) : options_(options) {
  int64_t channels = options.channels;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    Conv2d::Options conv;
    conv.activation = {Unary::relu};
    convolutions_[i] =
        add_child("conv" + std::to_string(i + 1), std::make_shared<Conv2d>(channels, options.widths[i], random, conv));
    channels = options.widths[i];
  }
  dropout_ = add_child("dropout", std::make_shared<Dropout>(options.dropout));
  head_ = add_child("head", std::make_shared<Linear>(channels, options.classes, random));
}

Tensor SoraCnn::features(const Tensor& clips) {
  ENGINE_CHECK(clips.rank() == 5 && clips.size(4) == options_.channels && clips.size(2) >= 8 && clips.size(3) >= 8,
               "sora-cnn: expected clips (N,T,H,W,", options_.channels, ") of 8x8 pixels at least, got ",
               clips.shape());
  Tensor x = clips.flatten(0, 1);  // frames are independent of each other
  for (const auto& convolution : convolutions_) x = max_pool2d((*convolution)(x), {});
  const Tensor frames = global_average_pool(x);
  return mean(frames.reshape({clips.size(0), clips.size(1), frames.size(1)}), 1, 1);
}

}  // namespace engine::layers
