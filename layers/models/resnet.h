// resnet18, resnet50 (He, Zhang, Ren and Sun, arXiv 1512.03385) on single frames, averaged over the frames of a clip.
// The names of the parameters, their sizes and where the strides are (in the 3x3 convolution of a bottleneck) are
// torchvision's: 11,689,512 and 25,557,032 parameters at 1000 classes. Frames of any size; torchvision's weights want
// RGB of 224x224 in 0..1, less (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).
#pragma once

#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/models/video_model.h"
#include "layers/norm.h"
#include "layers/sequential.h"

namespace engine::layers {

class ResNet : public FrameModel {
 public:
  static constexpr bool kDropsPaths = true;
  // depth: 18 (basic blocks) or 50 (bottlenecks).
  ResNet(const ModelOptions& options, Random& random, int depth);

  // The output of layer4: a thirty-second of the frame's sides, rounded up.
  Tensor map(const Tensor& images) override;
  int64_t map_channels() const override { return map_channels_; }
  std::string describe() const override { return "resnet" + std::to_string(depth_); }
  bool set_recompute(bool on) override { return recompute_ = on, true; }

 protected:
  Tensor forward(const Tensor& clips) override;

 private:
  int depth_;
  bool recompute_ = false;
  int64_t channels_, map_channels_ = 64;
  std::shared_ptr<Conv2d> conv1_;
  std::shared_ptr<BatchNorm> bn1_;
  std::vector<std::shared_ptr<Sequential>> layers_;
  std::shared_ptr<Linear> fc_;  // null: none
};

}  // namespace engine::layers
