// sora-cnn: a small convolutional network on single frames, averaged over the frames of a clip.
//   three times [3x3 convolution, ReLU, 2x2 max pooling] with 64, 128 and 256 channels; global average pooling; the
//   mean over the frames; a linear layer. 373,386 parameters at 3 channels and 10 classes.
// It deviates from the article it comes from in one point: that one flattens the last map into the linear layer, which
// only fits frames of one size; global average pooling fits every size.
#pragma once

#include <array>

#include "engine/random.h"
#include "layers/conv2d.h"
#include "layers/dropout.h"
#include "layers/linear.h"
#include "layers/models/video_model.h"

namespace engine::layers {

class SoraCnn : public FrameModel {
 public:
  using Widths = std::array<int64_t, 3>;
  SoraCnn(const ModelOptions& options, Random& random, const Widths& widths = {64, 128, 256});

  // Images of 8x8 pixels at least; the map has an eighth of their sides.
  Tensor map(const Tensor& images) override;
  int64_t map_channels() const override { return widths_.back(); }
  std::string describe() const override { return "sora-cnn"; }
  bool set_recompute(bool on) override { return recompute_ = on, true; }

 protected:
  Tensor forward(const Tensor& clips) override;

 private:
  int64_t channels_;
  Widths widths_;
  bool recompute_ = false;
  std::array<std::shared_ptr<Conv2d>, 3> convolutions_;
  std::shared_ptr<Dropout> dropout_;
  std::shared_ptr<Linear> head_;  // null: none
};

}  // namespace engine::layers
