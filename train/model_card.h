// What is known about a model before it is trained.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/frame_source.h"
#include "train/checkpoint.h"

namespace engine::layers {
class VideoModel;
}

namespace engine {

struct KnownModel {
  std::string name, size;       // size: of those that come in sizes
  std::string what;             // one line
  int64_t parameters;           // with 10 outputs, of colours
  std::string head;             // the name of its last layer
  Preprocessing preprocessing;  // that its published weights want, or a usual one
};
// Every model of the registry, in its order; sizes one by one.
const std::vector<KnownModel>& known_models();
// The entry of this name, in its default size; null where there is none.
const KnownModel* find_model(const std::string& name);

struct ModelCost {
  double flop = 0;               // of a forward pass: 2 per multiply-add of convolutions, products, attention and LSTMs
  int64_t activation_bytes = 0;  // that a forward pass in training keeps for the backward pass
};
// Of f32 clips of this shape (N, T, H, W, C), on the CPU; runs them. Statistics of batch norms change.
ModelCost cost_of(layers::VideoModel& model, const Shape& clips);

std::string models_text();  // a table
std::string models_json();  // an object per line

struct InspectOptions {
  std::string model;           // a name, a checkpoint (.safetensors) or a description (.toml)
  std::string size, backbone;  // of a name
  std::optional<int64_t> frames, channels, outputs;
  std::optional<FrameSize> image_size;
  bool json = false;
};
std::string inspect_model(const InspectOptions& options);

}  // namespace engine
