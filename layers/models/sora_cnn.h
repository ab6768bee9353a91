// sora-cnn: a small convolutional network on single frames, averaged over the frames of a clip.
//   three times [3x3 convolution, ReLU, 2x2 max pooling] with 64, 128 and 256 channels; global average pooling; the
//   mean over the frames; a linear layer. 373,386 parameters at 3 channels and 10 classes.
// It deviates from the article it comes from in one point: that one flattens the last map into the linear layer, which
// only fits frames of one size; global average pooling fits every size.
#pragma once

#include <array>

#include "layers/conv2d.h"
#include "layers/dropout.h"
#include "layers/linear.h"

namespace engine::layers {

class SoraCnn : public Module {
 public:
  struct Options {
    int64_t channels = 3;  // of a frame
    int64_t classes = 10;
    double dropout = 0.0;  // before the linear layer
    std::array<int64_t, 3> widths = {64, 128, 256};
  };
  SoraCnn(const Options& options, Random& random);

  // (N, T, H, W, channels) -> (N, widths[2]): what the linear layer sees.
  Tensor features(const Tensor& clips);
  std::string describe() const override { return "sora-cnn"; }

 protected:
  // (N, T, H, W, channels), H and W at least 8 -> logits (N, classes)
  Tensor forward(const Tensor& clips) override { return (*head_)((*dropout_)(features(clips))); }

 private:
  Options options_;
  std::array<std::shared_ptr<Conv2d>, 3> convolutions_;
  std::shared_ptr<Dropout> dropout_;
  std::shared_ptr<Linear> head_;
};

}  // namespace engine::layers
