// Batches of clips, decoded ahead by worker threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "io/clip.h"
#include "io/dataset.h"
#include "io/video_index.h"

namespace engine {

// What happens when a clip cannot be decoded. The first two are counted and listed, up to 1 % of an epoch (at least
// one).
enum class BadClip {
  replace,    // another clip of its class takes its place: for training
  leave_out,  // its batch is smaller, or not given at all when it would be empty: for figures over the clips
  error,      // the epoch ends with the error
};

struct LoaderOptions {
  ClipOptions clip = {};
  int batch = 8;
  int workers = 2;  // threads that decode; 0 decodes on the calling thread
  int queue = 4;    // batches decoded ahead at most
  // Random clips and augmentation; false: nothing drawn, and every sample in views_of(clip) views, one after another.
  bool training = true;
  bool shuffle = true;
  bool drop_last = false;  // leaves out the last batch when it is not full
  uint64_t seed = 0;
  // The label of a mirrored clip in place of each label, whether clips have one or several; empty: its own.
  std::vector<int64_t> mirrored_labels = {};
  BadClip on_bad = BadClip::replace;
  SourceOptions source = {};  // its stop token is the loader's own
  // Videos that it knows are opened through it, which changes how long that takes and nothing else.
  std::shared_ptr<const VideoIndex> index = nullptr;
};

struct Batch {
  Tensor frames;               // u8 (N, T, H, W, 3)
  Tensor labels;               // i64 (N); other heads f64 (N, targets); those of mirrored clips by the options
  std::vector<int64_t> items;  // the samples decoded; of the same class as the one asked for where that was bad. Views
                               // of one sample have its number
};

struct LoaderStats {
  struct Bad {
    int64_t item;  // the sample
    std::string why;
  };
  double wait_seconds = 0;  // that next() waited for workers
  int64_t clips = 0;        // given to the caller
  std::vector<Bad> bad;     // replaced or left out, in the order of the epoch
};

// Runs over a data set, epoch after epoch. What is in batch b of epoch e is a function of (data set, options, e, b)
// alone: the number of workers, their timing and earlier epochs change nothing. One thread at a time uses a loader.
class Loader {
 public:
  // Keeps a reference to the samples: `dataset` must outlive the loader. Throws kUsage for options out of range.
  Loader(const Dataset& dataset, const LoaderOptions& options);
  ~Loader();  // stops the workers where they are

  int64_t size() const;  // batches in an epoch
  // Starts from the first batch of epoch `epoch`, whatever was under way; statistics start at zero.
  void start_epoch(int64_t epoch);
  // The next batch; false after the last one. Throws what went wrong in it: an Error of the first clip (in order) that
  // could not be decoded or replaced, or kData when too many were bad or none was left. After an exception the epoch is
  // over.
  bool next(Batch& batch);
  const LoaderStats& stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace engine
