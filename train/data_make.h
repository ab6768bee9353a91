// Makes synthetic video sets: OUT/train/CLASS/0000.mp4 and OUT/test/CLASS/0000.mp4, or 0000.frames.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "io/synthetic.h"

namespace engine {

struct DataMakeOptions {
  std::filesystem::path out;
  SyntheticKind kind = SyntheticKind::scenes;
  int train = 60, test = 20;  // clips per class
  int width = 64, height = 64;
  int frames = 16;
  int fps = 12;
  uint64_t seed = 0;
  int threads = 0;       // 0: one per core
  bool force = false;    // replace the clips of an earlier make
  bool decoded = false;  // clips are stored decoded (io/decoded_clip.h), which takes no FFmpeg
};

// Called from any thread after a clip is written, one call at a time; false asks to stop.
using DataMakeProgress = std::function<bool(int done, int total)>;

// Writes the set and returns the number of clips written, all of them unless `progress` asked to stop. A clip is there
// whole or not at all. The bytes do not depend on the number of threads, nor a clip on how many others there are.
//
// Errors: kUsage for numbers that make no sense, a folder that is not empty without `force`, and anything in OUT/train
// and OUT/test that is not a clip made here with it; kStorage when writing fails.
int make_data(const DataMakeOptions& options, const DataMakeProgress& progress);

}  // namespace engine
