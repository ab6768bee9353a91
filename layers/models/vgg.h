// vgg11, vgg16 (Simonyan and Zisserman, arXiv 1409.1556; configurations A and D, without batch norm) on single frames,
// averaged over the frames of a clip. Names and sizes of the parameters are torchvision's: 132,863,336 and 138,357,544
// parameters at 1000 classes. The last map is averaged adaptively to 7x7, so that frames of any size from 32x32 fit;
// torchvision's weights want what resnet.h says.
#pragma once

#include "layers/linear.h"
#include "layers/models/video_model.h"
#include "layers/sequential.h"

namespace engine::layers {

class Vgg : public FrameModel {
 public:
  // depth: 11 or 16. hidden: the width of the two linear layers before the last.
  Vgg(const ModelOptions& options, Random& random, int depth, int64_t hidden = 4096);

  // Images of 32x32 pixels at least; the map has a thirty-second of their sides.
  Tensor map(const Tensor& images) override;
  int64_t map_channels() const override { return 512; }
  // What the last linear layer sees, averaged over the frames.
  Tensor features(const Tensor& clips) override;
  int64_t feature_count() const override { return hidden_; }
  std::map<std::string, Shape> flattened_inputs() const override { return {{"classifier.0.weight", {512, 7, 7}}}; }
  std::string describe() const override { return "vgg" + std::to_string(depth_); }

 protected:
  Tensor forward(const Tensor& clips) override;

 private:
  int depth_;
  int64_t channels_, hidden_;
  std::vector<std::shared_ptr<Module>> features_;
  std::shared_ptr<Sequential> classifier_;
  std::shared_ptr<Linear> head_;  // null: none
};

}  // namespace engine::layers
