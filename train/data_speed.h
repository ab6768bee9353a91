// How fast the clips of a data set are decoded, and whether other key frames would help.
#pragma once

#include <optional>

#include "io/clip.h"
#include "train/data_inspect.h"
#include "train/data_tools.h"

namespace engine {

inline constexpr int kUsefulGop = 12;  // key frames as dense as is usual for training

struct Speed {
  // What some clips would be, encoded anew with dense key frames.
  struct Dense {
    double factor;  // times as fast
    double space;   // times the bytes
    size_t clips;   // measured on
  };
  size_t clips = 0;       // measured on
  double per_second = 0;  // clips, for one core; computing only, without waiting for files
  // Measured where far fewer frames would have to be decoded: that alone does not make it faster, for in still pictures
  // frames between key frames cost next to nothing.
  std::optional<Dense> dense;
};

// Decodes some clips of those that can be read, by `facts`, one for each clip.
Speed measure_speed(const std::vector<Clip>& clips, const std::vector<ClipFacts>& facts, const ClipOptions& options);

// Frames that have to be decoded for those of a clip (ascending, may repeat) where decoding may start at every
// `gop`-th.
int64_t decoded_frames(const std::vector<int64_t>& frames, double gop);

}  // namespace engine
