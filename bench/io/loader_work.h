// Whole loaders at work: workers, a consumer that waits, memory, a very large set.
#pragma once

#include "bench/io/video_work.h"

namespace engine::bench {

struct LoaderWork {
  int workers = 1, batch = 8;
  int64_t clips = 64;  // of an epoch, of the videos in turn
  double step_ms = 0;  // that the consumer sleeps for after each batch
  int epochs = 1;
};

// Runs the epochs, of random clips as in training. {"count": clips, "batches", "wait_ms": that the consumer waited
// after the first batch of an epoch, "wait_wall_ms": the wall time of that part; after each epoch "rss_kb" (resident
// memory) and "descriptors" (open files, the most seen between batches)}.
json run_loader(const VideoWork& videos, const LoaderWork& work);

// Makes hard links to the videos under `count` names in ten folders of `folder`, and an index of them all.
void make_many(const std::string& folder, int64_t count, const std::vector<std::string>& videos);

// What the start of a training takes with the set of make_many(), in wall milliseconds: {"list_ms": finding the videos,
// "open_ms": opening the index, "batch_ms": from there to the first batch, "look_ms": bringing the index up to date,
// which looks at the size and time of every file; "videos"}.
json first_batch(const std::string& folder, const WorkOptions& options, const LoaderWork& work);

}  // namespace engine::bench
