// The clips that a model was most wrong about, as pictures for the report.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "train/evaluate.h"
#include "train/explain.h"
#include "train/run_log.h"

namespace engine {

// What a model looks at in a clip, u8 (1, frames_to_read, H, W, 3), for the output with this number. Where it throws an
// Error, there is nothing to show.
using HeatFinder = std::function<Explanation(const Tensor& clip, int64_t output)>;

inline constexpr const char* kMistakesFile = "pictures/mistakes.json";

// Kept while a model is evaluated: of classes the wrong clips with the highest confidence, and then the right ones with
// the lowest; of numbers those that are farthest off, in deviations of the training targets; of labels those with the
// largest loss. Of equal ones the first.
class Mistakes {
 public:
  // `clips` must outlive it; `most` clips are kept.
  Mistakes(const ModelFile& model, const Dataset& clips, size_t most = 8);

  void add(const JudgedVideo& video);
  // Puts mistake-01.png, ... and, with `find_heat`, mistake-01-heat.png, ... into the run's pictures, and what they
  // show into mistakes.json: {"part","clips","wrong","items":[{"clip","right","frames","picture","heat","method",
  // "truth","prediction"}]}. truth and prediction: [{"name","value"}], with values where they are numbers or
  // probabilities. Of numbers "points": [[target, prediction], ...] of every target, at most 400 each. `part`: "test"
  // or "val". A build that cannot write pictures (ENGINE_VIDEO=OFF) leaves them out.
  void write(RunLog& log, const std::string& part, int64_t step, const HeatFinder& find_heat = {}) const;

 private:
  struct Clip {
    int64_t sample;
    double badness;
    bool right;
    std::vector<double> values, targets;
    Tensor frames;
  };
  Clip judged(const JudgedVideo& video) const;

  ModelFile model_;  // without tensors
  const Dataset& dataset_;
  size_t most_;
  std::vector<Clip> worst_;  // the worst first
  int64_t clips_ = 0, wrong_ = 0;
  std::vector<std::vector<std::pair<double, double>>> points_;  // of numbers, by target
};

}  // namespace engine
