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
  return mean((*encoder_)((*position_)(states(cells, changes(cells)))), 1, 1);
}

}  // namespace engine::layers
