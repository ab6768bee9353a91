// c3d (Tran, Bourdev, Fergus, Torresani and Paluri, arXiv 1412.0767): eight 3x3x3 convolutions in five groups with max
// pooling behind each (over time from the second on), three linear layers. Parameters are named as the layers of the
// paper: conv1, conv2, conv3a, ..., fc8; 78,409,573 of them at 101 classes.
// It deviates from the paper in two points, so that clips of other sizes than 16x112x112 fit, which it treats alike:
// the last map is averaged over time and adaptively to 4x4 places; and time that has come down to one frame is not
// pooled any further. Starting weights are drawn as He et al. (arXiv 1502.01852) do; the paper does not say.
#pragma once

#include "layers/conv3d.h"
#include "layers/dropout.h"
#include "layers/linear.h"
#include "layers/models/video_model.h"

namespace engine::layers {

class C3d : public VideoModel {
 public:
  // hidden: the width of fc6 and fc7.
  C3d(const ModelOptions& options, Random& random, int64_t hidden = 4096);

  // Clips of 16x16 pixels at least; what fc8 sees.
  Tensor features(const Tensor& clips) override;
  int64_t feature_count() const override { return hidden_; }
  std::map<std::string, Shape> flattened_inputs() const override { return {{"fc6.weight", {512, 4, 4}}}; }
  std::string describe() const override { return "c3d"; }

 protected:
  Tensor forward(const Tensor& clips) override;

 private:
  int64_t channels_, hidden_;
  std::vector<std::vector<std::shared_ptr<Conv3d>>> groups_;
  std::shared_ptr<Linear> fc6_, fc7_, fc8_;  // fc8 null: none
  std::shared_ptr<Dropout> dropout6_, dropout7_;
};

}  // namespace engine::layers
