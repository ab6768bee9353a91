#include "layers/models/sora_cnn.h"

#include "layers/models/parts.h"

namespace engine::layers {

SoraCnn::SoraCnn(const ModelOptions& options, Random& random, const Widths& widths)
    : channels_(options.channels), widths_(widths) {
  int64_t channels = channels_;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    Conv2d::Options conv;
    conv.activation = {Unary::relu};
    convolutions_[i] =
        add_child("conv" + std::to_string(i + 1), std::make_shared<Conv2d>(channels, widths[i], random, conv));
    channels = widths[i];
  }
  if (options.outputs == 0) return;
  dropout_ = add_child("dropout", std::make_shared<Dropout>(options.dropout.value_or(0.0)));
  head_ = add_child("head", std::make_shared<Linear>(channels, options.outputs, random));
}

Tensor SoraCnn::map(const Tensor& images) {
  const LayerScope here = scope();
  ENGINE_CHECK(images.rank() == 4 && images.size(3) == channels_ && images.size(1) >= 8 && images.size(2) >= 8,
               "sora-cnn: expected frames (N,H,W,", channels_, ") of 8x8 pixels at least, got ", images.shape());
  Tensor x = images;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    const auto part = [this, i, convolution = convolutions_[i]](const Tensor& in) {
      return max_pool2d(seen("conv" + std::to_string(i + 1), (*convolution)(in)), {});
    };
    x = recompute_ ? recomputed(*convolutions_[i], part, x) : part(x);
  }
  return x;
}

Tensor SoraCnn::forward(const Tensor& clips) {
  ENGINE_CHECK(head_, "sora-cnn: it was made without a head");
  return (*head_)((*dropout_)(features(clips)));
}

}  // namespace engine::layers
