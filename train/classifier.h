// A network together with its head, the names of its outputs and its preprocessing: what is trained, saved, loaded and
// applied.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "layers/models/video_model.h"
#include "train/checkpoint.h"

namespace engine {

// How many frames of a video one clip takes: one more than the network sees where it sees differences.
int64_t frames_to_read(const Preprocessing& preprocessing);
// Channels of the network's input: 3 for rgb and diff, 6 for rgb+diff.
int64_t input_channels(const Preprocessing& preprocessing);
// u8 frames (N, frames_to_read, H, W, 3) -> what the network takes, (N, frames, H, W, input_channels) of type `dtype`.
// Frame t of a difference is frame t + 1 minus frame t, after normalisation; rgb+diff puts it behind the later frame's
// colours.
Tensor network_input(const Tensor& frames, const Preprocessing& preprocessing, DType dtype = DType::f32);

// The network that this describes, with random weights drawn from its seed: of the registry, or of the text in TOML in
// model_options["description"] (train/model_description.h). `outputs`: instead of one per class. Throws as
// layers::make_model and make_described_model.
std::shared_ptr<layers::VideoModel> make_network(const ModelFile& description, std::optional<int64_t> outputs = {});

class Classifier {
 public:
  // A new network. Throws as make_network().
  explicit Classifier(ModelFile description);
  // From a file. Throws as load_model() and load_into().
  static Classifier load(const std::string& path);

  // u8 frames (N, frames_to_read, H, W, 3) on the network's device -> logits (N, classes): one output per class, target
  // or label.
  Tensor logits(const Tensor& frames) {
    return (*network_)(network_input(frames, description_.preprocessing, compute_));
  }
  // The same, as far as the head: (N, feature_count()).
  Tensor features(const Tensor& frames) {
    return network_->features(network_input(frames, description_.preprocessing, compute_));
  }
  // Moves the network, to compute there in f32 or bf16. Before a trainer is made.
  void move_to(Device device, DType compute);
  Device device() const { return network_->parameters().front().tensor.device(); }
  // What the network's input is made as. A trainer that computes in bf16 sets it; its parameters' masters are the
  // trainer's.
  void set_compute(DType dtype) { compute_ = dtype; }
  DType compute() const { return compute_; }
  // With the tensors as they are now.
  ModelFile file() const;

  layers::VideoModel& network() { return *network_; }
  ModelFile& description() { return description_; }
  const ModelFile& description() const { return description_; }
  const std::vector<std::string>& classes() const { return description_.classes; }

 private:
  ModelFile description_;  // without tensors
  std::shared_ptr<layers::VideoModel> network_;
  DType compute_ = DType::f32;
};

}  // namespace engine
