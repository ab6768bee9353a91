// What the networks for video have in common. All of them take float clips (N, T, H, W, channels).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "layers/module.h"

namespace engine::layers {

// What every model is made from.
struct ModelOptions {
  int64_t outputs = 10;             // of the head: classes, labels or numbers to predict; 0: no head, features() only
  int64_t channels = 3;             // of a frame
  std::optional<double> dropout{};  // where the model has dropout; not given: the model's own
  uint64_t seed = 0;                // of the starting weights
  std::string size{};               // where the model comes in sizes; "": its own default
  std::string backbone{};           // the network on single frames, where the model has one; "": its own default
};

class VideoModel : public Module {
 public:
  // (N, T, H, W, channels) -> (N, feature_count()): the vector that represents a clip, which the head sees.
  virtual Tensor features(const Tensor& clips) = 0;
  virtual int64_t feature_count() const = 0;
  // The linear layers that see a flattened map: name of the weight -> the map's (C, H, W). PyTorch flattens in that
  // order, this engine in (H, W, C), which matters to who exchanges weights (io/torch_weights.h).
  virtual std::map<std::string, Shape> flattened_inputs() const { return {}; }
  // forward: clips -> (N, outputs), the logits or the predicted numbers. Throws Error where there is no head.
};

// One that sees single frames; a clip's features are the mean of its frames'.
class FrameModel : public VideoModel {
 public:
  // (N, H, W, channels) -> (N, h, w, map_channels()): the last map, before any pooling over the whole of it.
  virtual Tensor map(const Tensor& images) = 0;
  virtual int64_t map_channels() const = 0;

  // The mean of the map over places, then over frames.
  Tensor features(const Tensor& clips) override {
    const Tensor frames = global_average_pool(map(clips.flatten(0, 1)));
    return mean(frames.reshape({clips.size(0), clips.size(1), frames.size(1)}), 1, 1);
  }
  int64_t feature_count() const override { return map_channels(); }
};

}  // namespace engine::layers
