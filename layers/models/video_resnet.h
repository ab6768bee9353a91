// r3d_18, mc3_18, r2plus1d_18 (Tran, Wang, Torresani, Ray, LeCun and Paluri, arXiv 1711.11248): residual networks of 18
// layers whose convolutions are 3x3x3 (r3d); 3x3x3 in the first stage and 1x3x3 behind it (mc3); or 1x3x3 followed by
// 3x1x1, with so many channels between that the number of weights is about that of 3x3x3 (r2plus1d). Names and sizes
// of the parameters are torchvision's: 33,371,472, 11,695,440 and 31,505,325 parameters at 400 classes. Clips of any
// size; torchvision's weights want 16 RGB frames of 112x112 in 0..1, less (0.43216, 0.394666, 0.37645), divided by
// (0.22803, 0.22145, 0.216989).
#pragma once

#include "layers/linear.h"
#include "layers/models/video_model.h"
#include "layers/sequential.h"

namespace engine::layers {

class VideoResNet : public VideoModel {
 public:
  static constexpr bool kDropsPaths = true;
  enum class Kind { r3d, mc3, r2plus1d };
  VideoResNet(const ModelOptions& options, Random& random, Kind kind);

  Tensor features(const Tensor& clips) override;
  int64_t feature_count() const override { return 512; }
  std::string describe() const override;
  bool set_recompute(bool on) override { return recompute_ = on, true; }

 protected:
  Tensor forward(const Tensor& clips) override;

 private:
  Kind kind_;
  bool recompute_ = false;
  int64_t channels_;
  std::shared_ptr<Sequential> stem_;
  std::vector<std::shared_ptr<Sequential>> layers_;
  std::shared_ptr<Linear> fc_;  // null: none
};

}  // namespace engine::layers
