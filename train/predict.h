// Trained models applied: what engine_predict does.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/evaluate.h"
#include "train/options.h"

namespace engine {

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

// The videos that `path` stands for: itself when it is a file or a folder of images, else every video in the folder and
// below it, by name. Throws Error (kNoInput) when it is missing or holds none.
std::vector<std::string> videos_at(const std::string& path);

// Samples and preprocesses the video as an evaluation does; the result is the same to the bit as there. Throws what
// reading the video throws. `index` as in open_present() (train/data_options.h).
Prediction classify(Evaluator& evaluator, const std::string& file, const VideoIndex* index = nullptr);
// The same for every one of plan_windows() (io/clip.h), in their order; each is told as soon as it is known.
void classify_windows(Evaluator& evaluator, const std::string& file, const VideoIndex* index, int64_t hop,
                      const std::function<void(const Prediction&)>& tell);

// The numbers of the `count` most probable classes, the most probable first.
std::vector<size_t> top_classes(const std::vector<double>& probabilities, size_t count);

struct ClassifyOptions {
  std::string model;
  std::vector<std::string> paths;
  int64_t top = 1;     // of classes
  int64_t window = 0;  // steps from one window of a video to the next; 0: the video as a whole
  bool json = false;
  DeviceChoice device = DeviceChoice::automatic;
  Precision precision = Precision::automatic;
};
// Prints a table, or one JSON object per video, on stdout: the most probable classes, the numbers in the units of the
// data, or the labels whose probability is over kLabelThreshold ("-" where there is none). What cannot be read is told
// on stderr; the others go on. Returns kOk or the code of the first error.
int classify_files(const ClassifyOptions& options);

struct EvaluateOptions {
  std::string model, data, split;  // split: train, val, test; empty: test, or val where there is no test part
  double val_fraction = 0.2;
  int split_number = 0;  // of data sets that come with several
  int64_t workers = 1;
  int64_t clips = 1;
  TestCrops crops = TestCrops::centre;
  bool json = false;
  DeviceChoice device = DeviceChoice::automatic;
  Precision precision = Precision::automatic;
};
// Prints the loss, the figures of the model's head (train/metrics.h), those of its classes, targets or labels, and the
// confusion matrix of classes on stdout; of more than one view of each video those of the views' means, and the figures
// of single views. Throws Error (kCheckpoint) when the names of the data are not those of the model.
int evaluate_data(const EvaluateOptions& options);

}  // namespace engine
