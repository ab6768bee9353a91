// A small set of videos, and epochs over it, for the suites of the loader.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "io/loader.h"
#include "tests/video_fixtures.h"

namespace engine::fixtures {

inline constexpr int kClips = 11;

// Eleven videos of 20 frames in two classes; clip i starts at frame number 20 i of the pattern.
class Clips {
 public:
  Clips() {
    for (int i = 0; i < kClips; ++i) {
      const std::string path = folder_ / ("clip" + std::to_string(i) + ".mp4");
      std::string input;
      for (int k = 0; k < 20; ++k) input += picture(20 * i + k, kSmall);
      ffmpeg("-f rawvideo -pix_fmt rgb24 -r 25 -s 160x96 -i - -c:v libx264 -preset ultrafast -pix_fmt yuv420p '" +
                 path + "'",
             input);
      dataset_.samples.push_back({path, i % 2, fs::path(path).filename().string(), 0});
    }
    dataset_.classes = {"even", "odd"};
    dataset_.source = folder_.path();
  }
  const Dataset& dataset() const { return dataset_; }
  // A copy of the data set in which these clips are no videos.
  Dataset damaged(const std::vector<size_t>& items) const {
    Dataset copy = dataset_;
    for (const size_t item : items) {
      copy.samples[item].path = folder_ / ("bad" + std::to_string(item) + ".mp4");
      write_file(copy.samples[item].path, "not a video");
    }
    return copy;
  }

 private:
  TemporaryFolder folder_;
  Dataset dataset_;
};

inline const Clips& clips() {
  static const Clips made;
  return made;
}

inline LoaderOptions options_with(int workers) {
  LoaderOptions options;
  options.clip.frames = 4;
  options.clip.height = 48;
  options.clip.width = 80;
  options.clip.augment.max_scale = 1.3;
  options.clip.augment.random_crop = true;
  options.clip.augment.flip_probability = 0.5;
  options.batch = 3;
  options.workers = workers;
  options.queue = 2;
  options.seed = 5;
  return options;
}

struct Epoch {
  std::vector<uint8_t> bytes;
  std::vector<int64_t> items, labels;
  bool operator==(const Epoch&) const = default;
};

inline void append(Epoch& epoch, const Batch& batch) {
  const auto frames = batch.frames.values<uint8_t>();
  const auto labels = batch.labels.values<int64_t>();
  epoch.bytes.insert(epoch.bytes.end(), frames.begin(), frames.end());
  epoch.labels.insert(epoch.labels.end(), labels.begin(), labels.end());
  epoch.items.insert(epoch.items.end(), batch.items.begin(), batch.items.end());
}

inline Epoch run(Loader& loader, int64_t epoch, int64_t first_batch = 0) {
  Epoch result;
  loader.start_epoch(epoch, first_batch);
  for (Batch batch; loader.next(batch);) append(result, batch);
  return result;
}

inline Epoch run(const Dataset& dataset, const LoaderOptions& options, int64_t epoch) {
  Loader loader(dataset, options);
  return run(loader, epoch);
}

}  // namespace engine::fixtures
