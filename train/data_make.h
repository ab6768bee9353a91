// Makes synthetic video sets: OUT/train/CLASS/0000.mp4 and OUT/test/CLASS/0000.mp4, or 0000.frames. The kinds speed and
// pairs also get lists (io/list_file.h): OUT/train.txt, OUT/test.txt and OUT/classes.txt, which hold the speed in
// widths of the picture a second, or the two classes of every clip.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "io/dataset.h"
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

// The head that learns clips of a kind; those of other heads than classification come with lists.
Head head_for(SyntheticKind kind);

// Called from any thread after a clip is written, one call at a time; false asks to stop.
using DataMakeProgress = std::function<bool(int done, int total)>;

// Writes the set and returns the number of clips written, all of them unless `progress` asked to stop. A clip is there
// whole or not at all, and lists are written after all clips. The bytes do not depend on the number of threads, nor a
// clip on how many others there are.
//
// Errors: kUsage for numbers that make no sense, a folder that is not empty without `force`, and anything in OUT/train
// and OUT/test that is not a clip made here, or any of the lists that was not, with it; kStorage when writing fails.
int make_data(const DataMakeOptions& options, const DataMakeProgress& progress);

}  // namespace engine
