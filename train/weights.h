// Weights from elsewhere: those of another model of ours, or of PyTorch's.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "layers/models/video_model.h"

namespace engine {

// Whether the file was saved here (train/checkpoint.h); otherwise it is taken to have PyTorch's names and layouts.
bool is_ours(const TensorFile& file);

// A network's parameters, then its buffers.
std::vector<NamedTensor> all_tensors(const layers::Module& network);

// The file's tensors in our layout and in f32, as `network` would have them.
std::vector<NamedTensor> weights_for(const layers::VideoModel& network, const TensorFile& file);

struct Fitted {
  int64_t loaded = 0;
  std::vector<std::string> skipped;  // of the file: names, with the reason
  std::vector<std::string> fresh;    // of the network: names, with the reason where the file has one of this name
};
// Copies every tensor of the file that has the name and the shape of one of the network's; the others keep their
// values. Throws Error: as read_safetensors(); kCheckpoint where none fits.
Fitted load_fitting(layers::VideoModel& network, const std::string& path);
// Lines for the user.
std::string to_text(const Fitted& fitted, const std::string& path);

// Which parameters are not trained: those that one of the patterns matches, separated by commas, where * stands for any
// characters and ? for one. Empty: none. Throws Error (kUsage) for a pattern that matches none, with the nearest names,
// and where nothing would be left to train.
std::function<bool(const std::string& name)> frozen_by(const std::string& patterns, const layers::Module& network);

struct ConvertOptions {
  std::string in, out;
  std::string to;     // "torch", "engine" or "": the other one than `in` is
  std::string model;  // to engine: the name of the registry, or a description (train/model_description.h)
  std::string size, backbone;
  std::string classes;  // to engine: a file with the names of the outputs; empty: their numbers
  bool force = false;   // replaces `out`
};
// Returns a line for the user. Throws Error: kUsage, or kCheckpoint where names or shapes are not the model's.
std::string convert_weights(const ConvertOptions& options);

}  // namespace engine
