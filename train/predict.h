// A trained model applied to videos: what the subcommands of engine_predict share.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/cli.h"
#include "train/evaluate.h"
#include "train/options.h"

namespace engine {

// A model, and how it is computed.
struct ModelChoice {
  std::string path;
  DeviceChoice device = DeviceChoice::automatic;
  Precision precision = Precision::automatic;
};
// The model, on the device and in the precision wanted. Throws as Classifier::load().
Classifier open_model(const ModelChoice& choice);

// The videos that `path` stands for: itself when it is a file or a folder of images, else every video in the folder and
// below it, by name. Throws Error (kNoInput) when it is missing or holds none.
std::vector<std::string> videos_at(const std::string& path);

// The videos that a command was given, and what went wrong with them: told on stderr as it happens, while the others
// go on.
class VideoFiles {
 public:
  // Every path as in videos_at().
  explicit VideoFiles(const std::vector<std::string>& paths);
  const std::vector<std::string>& names() const { return names_; }
  // Calls work(name, index) for each, in order, and ends early where nobody reads stdout any more; `index` as in
  // open_present() (train/data_options.h), null where there is none.
  void for_each(const std::function<void(const std::string& name, const VideoIndex* index)>& work);
  // kOk, or that of the first error.
  int code() const { return code_; }

 private:
  void guarded(const std::function<void()>& work);

  std::vector<std::string> names_;
  std::vector<std::shared_ptr<const VideoIndex>> indices_;  // of each
  int code_ = exit_code::kOk;
};

// The clip of a video that an evaluation looks at, as the model was trained on: (1, frames_to_read, H, W, 3) u8. Throws
// what reading the video throws.
Tensor clip_of(const Preprocessing& preprocessing, const std::string& file, const VideoIndex* index = nullptr);

// A part of a video: its first and last frame, and their times in seconds where the source knows them.
struct Window {
  int64_t first = 0, last = 0;
  std::optional<double> begin{}, end{};
};

struct Prediction {
  std::string file;
  std::vector<double> values;      // what predictions() (train/head.h) says: one per class, target or label
  std::optional<Window> window{};  // none: the whole video, as the model samples it
};

// Of clip_of(): the same to the bit as in an evaluation.
Prediction classify(Evaluator& evaluator, const std::string& file, const VideoIndex* index = nullptr);
// The same for every one of plan_windows() (io/clip.h), in their order; each is told as soon as it is known.
void classify_windows(Evaluator& evaluator, const std::string& file, const VideoIndex* index, int64_t hop,
                      const std::function<void(const Prediction&)>& tell);

// The numbers of the `count` most probable classes, the most probable first.
std::vector<size_t> top_classes(const std::vector<double>& probabilities, size_t count);
// What is told of a video: outputs of the network, by number. All targets, or the labels over kLabelThreshold, or the
// `top` most probable classes.
std::vector<size_t> told_outputs(Head head, const std::vector<double>& values, size_t top);

// A file for one video in a folder: its name without the ending, `suffix` behind; with a number before that where
// `taken` has the name already, which it is added to.
std::string file_beside(const std::string& folder, const std::string& video, const std::string& suffix,
                        std::vector<std::string>& taken);
// Makes the folder where there is none. Throws Error (kStorage).
void make_folder(const std::string& folder);

}  // namespace engine
