#include "layers/models/sora_fusion.h"

namespace engine::layers {

SoraFusion::SoraFusion(const ModelOptions& options, Random& random, const SoraSize& size)
    : SoraVideo("sora-fusion", options, random, size) {
  token_ = add_child("token", std::make_shared<SoraEmbedding>(cell_channels(), size.features, random));
  token_position_ = add_child("token_position", std::make_shared<PositionalEncoding>());
  query_position_ = add_child("query_position", std::make_shared<PositionalEncoding>());
  encoder_ = add_child("encoder", std::make_shared<TransformerEncoder>(transformer(), random));
  decoder_ = add_child("decoder", std::make_shared<TransformerDecoder>(transformer(), random));
  add_head(random);
}

Tensor SoraFusion::features(const Tensor& clips) {
  const Tensor cells = grids(clips), changed = changes(cells);
  const Tensor tokens = (*token_position_)((*token_)(cells, changed));
  if (observer.tokens) observer.tokens("encoder", size_.heads, tokens);
  const Tensor memory = (*encoder_)(tokens.flatten(1, 3));
  return mean((*decoder_)((*query_position_)(states(cells, changed)), memory), 1, 1);
}

}  // namespace engine::layers
