// What the networks for video have in common. All of them take float clips (N, T, H, W, channels).
#pragma once

#include <functional>
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
  double drop_path = 0;             // of the last residual branch (layers/drop_path.h); falls to 0 for the first
  uint64_t seed = 0;                // of the starting weights
  std::string size{};               // where the model comes in sizes; "": its own default
  std::string backbone{};           // the network on single frames, where the model has one; "": its own default
};

// Who is told what goes on inside a model in a forward pass; what is empty is not called.
struct ModelObserver {
  // The maps that convolutions give, first to last, where there are places left or not: of single frames (N T, h, w,
  // C), or of clips (N, T', h, w, C). The model goes on with what is returned, of the same shape.
  std::function<Tensor(const std::string& layer, const Tensor& map)> map{};
  // What goes into the Transformer encoder of this name, before it is flattened to (N, T h w, d): (N, T, h, w, d).
  std::function<void(const std::string& encoder, int64_t heads, const Tensor& tokens)> tokens{};
};

class VideoModel : public Module {
 public:
  ModelObserver observer;  // of this model; one inside it, such as a backbone, has its own

  // (N, T, H, W, channels) -> (N, feature_count()): the vector that represents a clip, which the head sees.
  virtual Tensor features(const Tensor& clips) = 0;
  virtual int64_t feature_count() const = 0;
  // The linear layers that see a flattened map: name of the weight -> the map's (C, H, W). PyTorch flattens in that
  // order, this engine in (H, W, C), which matters to who exchanges weights (io/torch_weights.h).
  virtual std::map<std::string, Shape> flattened_inputs() const { return {}; }
  // Whether training keeps only what goes from part to part of the network and computes the parts again in the backward
  // pass (recomputed() in layers/models/parts.h): the same bytes, less memory, about a third more work. False where
  // this network has no such parts.
  virtual bool set_recompute(bool /*on*/) { return false; }
  // forward: clips -> (N, outputs), the logits or the predicted numbers. Throws Error where there is no head.

 protected:
  // The map as the observer wants it.
  Tensor seen(const std::string& layer, const Tensor& map) const {
    return observer.map ? observer.map(layer, map) : map;
  }
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
