// i3d (Carreira and Zisserman, arXiv 1705.07750): Inception-v1 with batch norm, inflated to three dimensions, on RGB.
// Parameters are named as in the PyTorch port that the published weights come in (Conv3d_1a_7x7.conv3d.weight,
// Mixed_3b.b0.bn.bias, logits.conv3d.weight, ...); 12,697,264 of them at 400 classes. Clips of any size; the published
// weights want RGB of 224x224 in -1..1. Padding is TensorFlow's "SAME", which for an even size and stride 2 has its odd
// element at the end. Dropout is applied to the clip's features, not to each two frames' of the last map.
#pragma once

#include "engine/random.h"
#include "layers/dropout.h"
#include "layers/models/video_model.h"

namespace engine::layers {

class I3d : public VideoModel {
 public:
  I3d(const ModelOptions& options, Random& random);

  Tensor features(const Tensor& clips) override;
  int64_t feature_count() const override { return 1024; }
  std::string describe() const override { return "i3d"; }

 protected:
  Tensor forward(const Tensor& clips) override;

 private:
  int64_t channels_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> layers_;
  std::shared_ptr<Dropout> dropout_;
  std::shared_ptr<Module> logits_;  // null: none
};

// The weights of a 2-D convolution (K, R, S, C) for clips, (K, depth, R, S, C): repeated along time and divided by
// depth, so that on a clip that does not move they give what they gave on its frame.
Tensor inflate(const Tensor& weight, int64_t depth);

}  // namespace engine::layers
