// sora-fusion: Transformer(CNN(V), RNN(V)) (layers/models/sora_video.h). The cells of every frame's grid and their
// changes, projected to d, with their positions in time and space, are the tokens (16 T of them) of a Transformer
// encoder. An LSTM runs over the frames' grids and their changes, flattened and projected to d; its states are the
// queries of the decoder, which looks at what the encoder gives. The mean over time is the representation; a linear
// layer.
#pragma once

#include "layers/models/sora_video.h"

namespace engine::layers {

class SoraFusion : public SoraVideo {
 public:
  SoraFusion(const ModelOptions& options, Random& random) : SoraFusion(options, random, sora_size(options.size)) {}
  SoraFusion(const ModelOptions& options, Random& random, const SoraSize& size);

  Tensor features(const Tensor& clips) override;
  std::string describe() const override { return "sora-fusion " + size_.name; }

 private:
  std::shared_ptr<SoraEmbedding> token_;
  std::shared_ptr<PositionalEncoding> token_position_, query_position_;
  std::shared_ptr<TransformerEncoder> encoder_;
  std::shared_ptr<TransformerDecoder> decoder_;
};

}  // namespace engine::layers
