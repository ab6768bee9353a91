#include "bench/io/loader_work.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "io/index_file.h"
#include "io/loader.h"
#include "train/data_index.h"

namespace engine::bench {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFolders = 10;  // classes of a large set

int64_t resident_kb() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

int64_t open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator{}) - 1;
}

LoaderOptions loader_options(const WorkOptions& options, const LoaderWork& work) {
  LoaderOptions loader;
  loader.clip.sampling = Sampling::dense;
  loader.clip.frames = options.frames;
  loader.clip.stride = options.stride;
  loader.clip.height = loader.clip.width = options.size;
  loader.workers = work.workers;
  loader.batch = work.batch;
  return loader;
}

std::string video_name(int64_t number) { return fmt::format("c{}/v{:07}.mp4", number % kFolders, number); }

}  // namespace

json run_loader(const VideoWork& videos, const LoaderWork& work) {
  Dataset dataset;
  dataset.classes = {"all"};
  dataset.source = "bench";
  for (int64_t i = 0; i < work.clips; ++i) {
    const std::string& path = videos.paths()[static_cast<size_t>(i) % videos.paths().size()];
    dataset.samples.push_back({.path = path, .label = 0, .name = path});
  }
  LoaderOptions options = loader_options(videos.options(), work);
  options.index = videos.index();
  Loader loader(dataset, options);
  json resident = json::array(), descriptors = json::array();
  double waited = 0, spent = 0;
  int64_t count = 0, batches = 0;
  for (int epoch = 0; epoch < work.epochs; ++epoch) {
    loader.start_epoch(epoch);
    Batch batch;
    int64_t most = 0;
    double first_wait = 0, start = 0;
    for (bool first = true; loader.next(batch); first = false) {
      if (first) first_wait = loader.stats().wait_seconds, start = wall_seconds();
      count += std::ssize(batch.items);
      ++batches;
      if (work.epochs > 1) most = std::max(most, open_descriptors());
      if (work.step_ms > 0) std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(work.step_ms));
    }
    waited += loader.stats().wait_seconds - first_wait;
    spent += wall_seconds() - start;
    resident.push_back(resident_kb());
    descriptors.push_back(most);
  }
  return {{"count", count},     {"batches", batches},        {"wait_ms", 1e3 * waited}, {"wait_wall_ms", 1e3 * spent},
          {"rss_kb", resident}, {"descriptors", descriptors}};
}

void make_many(const std::string& folder, int64_t count, const std::vector<std::string>& videos) {
  IndexOptions options;
  const IndexUpdate once = update_index("", "/", videos, options);
  const VideoIndex::Impl& known = once.index->impl();
  for (int64_t i = 0; i < kFolders; ++i) fs::create_directories(folder + fmt::format("/c{}", i));
  std::vector<IndexEntry> entries;
  for (int64_t i = 0; i < count; ++i) {
    const std::string& video = videos[static_cast<size_t>(i) % videos.size()];
    const int64_t number = known.find(known.name_of(video));
    fs::create_hard_link(video, folder + "/" + video_name(i));
    entries.push_back({video_name(i), known.directory[static_cast<size_t>(number)], known.entry(number)});
  }
  std::ranges::sort(entries, {}, &IndexEntry::name);
  const std::string bytes = index_bytes(std::move(entries)), file = index_place(folder).write;
  std::ofstream out(file, std::ios::binary);
  out.write(bytes.data(), std::ssize(bytes));
  if (!out.flush()) throw Error(file + ": cannot be written", exit_code::kStorage);
}

json first_batch(const std::string& folder, const WorkOptions& options, const LoaderWork& work) {
  const double begin = wall_seconds();
  const Splits splits = open_splits(folder, {.val_fraction = 0});
  const double listed = wall_seconds();
  const IndexPlace place = index_place(folder);
  LoaderOptions loading = loader_options(options, work);
  loading.index = VideoIndex::open(place.read, place.folder);
  const double opened = wall_seconds();
  Loader loader(splits.train, loading);
  loader.start_epoch(0);
  Batch batch;
  if (!loader.next(batch)) throw Error(folder + ": no batch", exit_code::kData);
  const double given = wall_seconds();
  std::vector<std::string> paths;
  for (const Sample& sample : splits.train.samples) paths.push_back(sample.path);
  const double before = wall_seconds();
  const IndexUpdate update = update_index(place.read, place.folder, paths);
  const double looked = wall_seconds();
  if (update.changed) throw Error(folder + ": the index does not fit the files", exit_code::kData);
  return {{"list_ms", 1e3 * (listed - begin)},
          {"open_ms", 1e3 * (opened - listed)},
          {"batch_ms", 1e3 * (given - opened)},
          {"look_ms", 1e3 * (looked - before)},
          {"videos", std::ssize(splits.train.samples)}};
}

}  // namespace engine::bench
