// Windows of a video that say the same, as parts of it.
#pragma once

#include <string>
#include <vector>

#include "train/predict.h"

namespace engine {

// A part of a video; parts neither overlap nor leave anything out between the first and the last window.
struct Segment {
  Prediction prediction;  // the mean of its windows' values; `window` is the part
  int64_t windows = 0;
};

// Joins windows of one video, in their order, that follow each other and tell the same class, or the same labels; of
// regression none. Windows overlap: the video changes from one to the next half-way between their middles.
class SegmentJoiner {
 public:
  explicit SegmentJoiner(Head head) : head_(head) {}
  void add(const Prediction& window);
  std::vector<Segment> segments() const;

 private:
  Head head_;
  std::vector<Prediction> windows_;
};

// SubRip subtitles, as players take them: for every segment its number, its times and one line of text; segments
// without labels have none. Throws Error (kData) for a segment without times.
std::string to_srt(const std::vector<Segment>& segments, const ModelFile& model, size_t top);

}  // namespace engine
