// What a model said of every clip of an evaluation, as a file that gives the same figures again.
//
// JSON lines. The first tells what all have in common, the others of one view of one clip each, in their order:
//   {"kind":"scores","part":"test","head":"classification","classes":["cat","dog"],"clips":1,"crops":1}
//   {"clip":"cat/001.mp4","label":"cat","probabilities":[0.81,0.19],"outputs":[1.25,-0.2]}
// Where several views of a clip were looked at, every line has its number as "view", from 0. Of regression "targets",
// "mean" and "deviation" in the first, and "label":[1.5,-2],"values":[...] in the others; of several labels "labels" in
// the first and "label":["cat"] in the others. Outputs are the network's own, to the bit. Where a line has none, as
// after averaging the files of two models, probabilities or values stand for them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "train/evaluate.h"
#include "train/report.h"

namespace engine {

struct Scores {
  struct Clip {
    std::string name;
    std::vector<float> outputs;
    std::vector<double> targets;  // as Metrics::add() takes them
    int64_t view = 0;             // of the clip
  };
  ModelFile model;  // head, classes and targets alone
  std::string part;
  Views views;
  std::vector<Clip> clips;  // one for every view
};

std::string to_text(const Scores& scores);
// Throws Error: kNoInput when the file cannot be read; kData as `file:line: why` for what is not such a file.
Scores read_scores(const std::string& path);
// The figures, as evaluate_views() finds them.
ViewsEvaluation evaluate(const Scores& scores);

}  // namespace engine
