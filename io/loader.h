// Batches of clips, decoded ahead by worker threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "io/clip.h"
#include "io/dataset.h"
#include "io/stages.h"
#include "io/video_index.h"

namespace engine {

// What happens when a clip cannot be decoded. The first two are counted and listed, up to 1 % of an epoch (at least
// one).
enum class BadClip {
  replace,    // another clip of its class takes its place: for training
  leave_out,  // its batch is smaller, or not given at all when it would be empty: for figures over the clips
  error,      // the epoch ends with the error
};

inline constexpr int kMaxWorkers = 256;

struct LoaderOptions {
  ClipOptions clip = {};
  int batch = 8;
  int workers = 2;     // threads that decode, at most kMaxWorkers; 0 decodes on the calling thread
  int queue = 4;       // batches decoded ahead at most
  int64_t memory = 0;  // bytes that the loader may take, see LoaderMemory; 0: 2 GiB, or a quarter of the machine's
                       // memory (or of what the process may use of it) where that is less
  // Of an epoch's samples, in their order, those whose place is `shard` more than a multiple of `shards`. With
  // drop_last every shard has the same number of batches; without, some have a sample more than others, and perhaps a
  // batch.
  int shard = 0, shards = 1;
  // Random clips and augmentation; false: nothing drawn, and every sample in views_of(clip) views, one after another.
  bool training = true;
  bool shuffle = true;
  // Every class with samples comes as often as every other, to one clip. An epoch is as long as without: rare classes'
  // samples come several times, each time cut and varied anew, of frequent classes other samples come in every epoch.
  // Only for training and heads of classes.
  bool balance = false;
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
  double wait_seconds = 0;     // that next() waited for clips, or decoded them itself
  double blocked_seconds = 0;  // that workers waited for the caller, all of them together
  StageSeconds stages{};       // what workers did with their time
  int64_t clips = 0;           // given to the caller
  std::vector<Bad> bad;        // replaced or left out, in the order of the epoch
};

// What a loader takes at most while the caller keeps no batch but the last. Batches are as many as the options allow
// and there is memory for, but two at least, one being made and one at the caller (without workers: one). For a worker
// the largest that the index knows of counts: the pictures that its decoder keeps by its codec and level, in which they
// are converted, and its packets; of a clip stored decoded twice its file; 36 MiB, as for a video of 1920x1080, for
// what is in no index. To that come 4 MiB for what does not depend on the video.
struct LoaderMemory {
  int64_t batches = 0;       // in memory at once: those decoded ahead, and the one at the caller
  int64_t batch_bytes = 0;   // of a full one
  int64_t workers = 0;       // as in the options
  int64_t worker_bytes = 0;  // of each; without workers of the calling thread
  int64_t total() const { return batches * batch_bytes + (workers > 0 ? workers : 1) * worker_bytes; }
};

// As many of options.workers as there is memory for beside two batches; 1 at least.
int affordable_workers(const Dataset& dataset, const LoaderOptions& options);

// Runs over a data set, epoch after epoch. What is in batch b of epoch e is a function of (data set, options, e, b)
// alone: the number of workers, their timing, the memory, earlier epochs and the batch that the epoch was started from
// change nothing. One thread at a time uses a loader.
class Loader {
 public:
  // Keeps a reference to the samples: `dataset` must outlive the loader. Throws kUsage for options out of range, and
  // kMemory where options.memory is too little for them.
  Loader(const Dataset& dataset, const LoaderOptions& options);
  ~Loader();  // stops the workers where they are

  int64_t size() const;                                         // batches in an epoch
  int64_t clips(int64_t first_batch, int64_t end_batch) const;  // in batches first_batch .. end_batch - 1 of it
  LoaderMemory memory() const;
  // Starts epoch `epoch` at batch `first_batch`, 0 .. size(), whatever was under way; statistics start at zero.
  void start_epoch(int64_t epoch, int64_t first_batch = 0);
  // The number of the batch that next() looks at first: where start_epoch() goes on with this epoch. Batches that are
  // not given because all their clips are left out have a number, too.
  int64_t position() const;
  // The next batch; false after the last one. What `batch` held is let go first. Throws what went wrong in it: an Error
  // of the first clip (in order) that could not be decoded or replaced, or kData when too many were bad or none was
  // left. After an exception the epoch is over.
  bool next(Batch& batch);
  const LoaderStats& stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace engine
