// The file of a trained model: its weights and all that is needed to use them, and nothing else. A safetensors file, so
// that others can read it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/safetensors.h"

namespace engine {

// How a video becomes the network's input.
struct Preprocessing {
  int64_t frames = 16;                // of a clip
  int64_t stride = 1;                 // from one frame of a clip to the next, in frames of the video
  std::string sampling = "uniform";   // how clips are placed in a video
  int64_t height = 112, width = 112;  // pixels
  std::string input = "rgb";          // or "diff" or "rgb+diff"
  std::array<double, 3> mean{0, 0, 0}, deviation{1, 1, 1};  // of pixel values 0..1, taken off and divided by
  std::string untagged = "601";                             // or "709" or "auto": colours of videos that do not say
  bool rgb_first = false;                                   // FrameView::rgb_first
  double fps = 0;                                           // ClipOptions::fps
  std::string short_videos = "auto";                        // of kShortVideoNames (io/clip.h)
  bool sar = false;                                         // ClipOptions::sar

  bool operator==(const Preprocessing&) const = default;
};

// How a regression's targets are standardised for training, one number each: (target - mean) / deviation.
struct Standardization {
  std::vector<double> mean, deviation;
  bool operator==(const Standardization&) const = default;
};

struct ModelFile {
  std::string model;  // as make_model() knows it (layers/models/registry.h)
  std::map<std::string, std::string> model_options;
  Head head = Head::classification;
  std::vector<std::string> classes;  // names of classes, targets or labels, in the order of the outputs
  Standardization targets;           // of regression, in the order of classes; otherwise empty
  Preprocessing preprocessing;
  int64_t epoch = 0, step = 0;  // finished when it was saved
  double best_metric = 0;
  uint64_t seed = 0;
  std::vector<NamedTensor> tensors;  // parameters and buffers, under the module's names
};

// Whether a tensor is of a training that goes on (train/run_state.h), not of the model.
inline bool is_of_training(const NamedTensor& tensor) {
  return tensor.name.starts_with("first_moment.") || tensor.name.starts_with("second_moment.") ||
         tensor.name.starts_with("average.");
}

// As metadata of a safetensors file: format, producer, model, head, epoch, step, best_metric and seed as plain text;
// model_options, classes, preprocessing and, of regression, targets as JSON. No time, no path, no machine: equal
// content gives equal bytes.
TensorFile to_tensor_file(const ModelFile& file);

// The way back. Entries of metadata of other names are left alone, as are tensors of a training that goes on; a file
// without a head is a classifier. Throws Error
// (kCheckpoint) that begins with `where` when an entry is missing or malformed, or when the format is not one that this
// version reads.
ModelFile to_model_file(const TensorFile& file, const std::string& where);

// Throws Error: kStorage when writing fails, what was at `path` is then untouched; kCheckpoint when load_model() would
// refuse the content.
void save_model(const std::string& path, const ModelFile& file);
// Throws as read_safetensors() (io/safetensors.h) and to_model_file().
ModelFile load_model(const std::string& path);

// Copies the elements of `source` into the tensors of the same names in `targets`, on whatever device those are. Names,
// shapes and types must be the same on both sides: otherwise throws Error (kCheckpoint) that begins with `where` and
// tells the first five differences, and no target has changed.
void load_into(const std::vector<NamedTensor>& targets, const std::vector<NamedTensor>& source,
               const std::string& where);

}  // namespace engine
