// sora-serial: one after the other (layers/models/sora_video.h). Frames through the convolutional network; the 4x4 grid
// of every frame and its change, flattened and projected to d, through an LSTM; its states, with their positions in
// time, through a Transformer encoder; the mean over time is the representation; a linear layer.
#pragma once

#include "layers/models/sora_video.h"

namespace engine::layers {

class SoraSerial : public SoraVideo {
 public:
  SoraSerial(const ModelOptions& options, Random& random) : SoraSerial(options, random, sora_size(options.size)) {}
  SoraSerial(const ModelOptions& options, Random& random, const SoraSize& size);

  Tensor features(const Tensor& clips) override;
  std::string describe() const override { return "sora-serial " + size_.name; }

 private:
  std::shared_ptr<PositionalEncoding> position_;
  std::shared_ptr<TransformerEncoder> encoder_;
};

}  // namespace engine::layers
