#include "layers/models/sora_serial.h"

namespace engine::layers {

SoraSerial::SoraSerial(const ModelOptions& options, Random& random, const SoraSize& size)
    : SoraVideo("sora-serial", options, random, size) {
  position_ = add_child("position", std::make_shared<PositionalEncoding>());
  encoder_ = add_child("encoder", std::make_shared<TransformerEncoder>(transformer(), random));
  add_head(random);
}

Tensor SoraSerial::features(const Tensor& clips) {
  const Tensor cells = grids(clips);
  const Tensor tokens = (*position_)(states(cells, changes(cells)));
  if (observer.tokens)
    observer.tokens("encoder", size_.heads, tokens.reshape({tokens.size(0), tokens.size(1), 1, 1, tokens.size(2)}));
  return mean((*encoder_)(tokens), 1, 1);
}

}  // namespace engine::layers
