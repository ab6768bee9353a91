// io/loader under load: damaged files among many, stops at random moments, the memory that it says, its threads, and
// where it says that time goes.
#include <malloc.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>
#include <thread>

#include "engine/random.h"
#include "io/decoded_clip.h"
#include "tests/loader_fixtures.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER true
#else
#define UNDER_SANITIZER false
#endif

using namespace engine;
using namespace engine::fixtures;

namespace {

constexpr FrameSize kTiny{32, 32};

// 402 clips of two classes that share eight sound files and have a cut one, one with zeros in its middle, one of which
// bits are flipped, and one without pictures.
class Mixture {
 public:
  Mixture() {
    std::vector<std::string> sound;
    for (int i = 0; i < 8; ++i) {
      sound.push_back(folder_ / ("sound" + std::to_string(i) + ".mp4"));
      make_video(sound.back(), 6 + i, std::string(kX264) + "-movflags +faststart", kTiny);
    }
    for (int i = 0; i < 402; ++i)
      dataset_.samples.push_back({sound[static_cast<size_t>(i * 5 % 8)], i % 2, std::to_string(i), 0});
    const std::string whole = read_file(sound[7]);
    std::string zeroed = whole, flipped = whole;
    zeroed.replace(whole.size() / 2, whole.size() / 8, whole.size() / 8, '\0');
    Random random(8, 0, 0);
    for (int i = 0; i < 40; ++i)
      flipped[whole.size() / 3 + random.below(whole.size() / 2)] ^= static_cast<char>(1 << random.below(8));
    put(17, "cut.mp4", whole.substr(0, whole.size() * 2 / 3));
    put(133, "zeroed.mp4", zeroed);
    put(134, "flipped.mp4", flipped);
    dataset_.samples[301].path = folder_ / "sound.m4a";
    ffmpeg("-f lavfi -i sine=duration=0.2 '" + dataset_.samples[301].path + "'");
    dataset_.classes = {"even", "odd"};
    dataset_.source = folder_.path();
    index_ = index_of(dataset_);
  }
  const Dataset& dataset() const { return dataset_; }
  const std::shared_ptr<const VideoIndex>& index() const { return index_; }
  static std::shared_ptr<const VideoIndex> index_of(const Dataset& dataset) {
    std::vector<std::string> paths;
    for (const Sample& sample : dataset.samples) paths.push_back(sample.path);
    return update_index("", dataset.source, paths).index;
  }

 private:
  void put(size_t item, const std::string& name, const std::string& content) {
    dataset_.samples[item].path = folder_ / name;
    write_file(folder_ / name, content);
  }
  TemporaryFolder folder_;
  Dataset dataset_;
  std::shared_ptr<const VideoIndex> index_;
};

const Mixture& mixture() {
  static const Mixture made;
  return made;
}

LoaderOptions tiny_options(int workers) {
  LoaderOptions options = options_with(workers);
  options.clip.frames = 2;
  options.clip.height = 20;
  options.clip.width = 28;
  options.batch = 101;
  return options;
}

// The number behind `name` in /proc/self/status, in KiB; 0 where there is none.
int64_t status(const std::string& name) {
  std::ifstream lines("/proc/self/status");
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1));
  return 0;
}

int64_t entries_in(const std::string& folder) {
  const fs::directory_iterator all(folder);
  return std::distance(begin(all), end(all));
}

// Ten clips of three videos of 640x360 whose decoders keep many pictures.
const Dataset& large() {
  static const TemporaryFolder folder;
  static const Dataset dataset = [] {
    Dataset made{.samples = {}, .classes = {"a", "b"}, .source = folder.path()};
    for (int i = 0; i < 10; ++i) {
      const std::string path = folder / (std::to_string(i % 3) + ".mp4");
      if (i < 3)
        ffmpeg("-f lavfi -i testsrc2=size=640x360:rate=25:duration=0." + std::to_string(6 + i) +
               " -c:v libx264 -preset veryfast -refs 8 -bf 3 -pix_fmt yuv420p '" + path + "'");
      made.samples.push_back({path, i % 2, std::to_string(i), 0});
    }
    return made;
  }();
  return dataset;
}

LoaderOptions large_options(int workers) {
  LoaderOptions options;
  options.clip = {.frames = 8, .sampling = Sampling::dense, .height = 112, .width = 112};
  options.batch = 2;
  options.workers = workers;
  options.seed = 5;
  return options;
}

}  // namespace

TEST_CASE("damaged files among many: the same bytes for any number of workers, and after every resume") {
  if (!have_ffmpeg()) return;
  for (const BadClip policy : {BadClip::replace, BadClip::leave_out}) {
    const auto with = [&](int workers) {
      LoaderOptions options = tiny_options(workers);
      options.on_bad = policy;
      options.training = options.shuffle = policy == BadClip::replace;
      options.index = mixture().index();
      return options;
    };
    Loader here(mixture().dataset(), with(0));
    Epoch expected;
    std::vector<size_t> clips_before;
    here.start_epoch(3);
    for (Batch batch; clips_before.push_back(expected.items.size()), here.next(batch);) append(expected, batch);
    const auto bad = here.stats().bad;
    CHECK(bad.size() >= 2);  // at least what is cut off and what has no pictures
    CHECK(here.stats().clips == std::ssize(expected.items));
    CHECK(std::ssize(expected.items) == 402 - (policy == BadClip::leave_out ? std::ssize(bad) : 0));
    for (const int workers : {4, 1, 2, 16}) {
      if (UNDER_SANITIZER && workers != 4) continue;  // these take a minute
      CAPTURE(workers);
      Loader loader(mixture().dataset(), with(workers));
      CHECK((run(loader, 3) == expected));
      REQUIRE(loader.stats().bad.size() == bad.size());
      for (size_t i = 0; i < bad.size(); ++i) CHECK(loader.stats().bad[i].why == bad[i].why);
    }
    Loader loader(mixture().dataset(), with(2));
    const size_t bytes = expected.bytes.size() / expected.items.size();
    for (int64_t first = UNDER_SANITIZER ? 3 : 1; first < loader.size(); ++first) {
      const Epoch rest = run(loader, 3, first);
      const size_t skipped = clips_before[static_cast<size_t>(first)];
      CHECK(std::ranges::equal(rest.items, std::span(expected.items).subspan(skipped)));
      CHECK(std::ranges::equal(rest.labels, std::span(expected.labels).subspan(skipped)));
      CHECK(std::ranges::equal(rest.bytes, std::span(expected.bytes).subspan(skipped * bytes)));
    }
  }
}

TEST_CASE("a loader stops at random moments, whatever its depth") {
  if (!have_ffmpeg()) return;
  const auto index = mixture().index();
  for (uint32_t trial = 0; trial < 40; ++trial) {
    Random random(21, 0, trial);
    LoaderOptions options = tiny_options(1 + static_cast<int>(random.below(5)));
    options.index = index;
    options.queue = 4;
    options.batch = 1 + static_cast<int>(random.below(9));
    const LoaderMemory most = Loader(mixture().dataset(), options).memory();
    options.memory = most.total() - static_cast<int64_t>(random.below(4)) * most.batch_bytes;
    Loader loader(mixture().dataset(), options);
    Batch batch;
    for (uint64_t starts = 1 + random.below(3); starts > 0; --starts) {
      loader.start_epoch(trial, static_cast<int64_t>(random.below(static_cast<uint64_t>(loader.size()))));
      for (uint64_t taken = random.below(4); taken > 0; --taken) loader.next(batch);
      if (random.below(2)) std::this_thread::yield();
    }
  }
}

TEST_CASE("the budget decides how many batches are decoded ahead, and what does not fit is refused") {
  if (!have_ffmpeg()) return;
  LoaderOptions options = options_with(3);
  options.index = Mixture::index_of(clips().dataset());
  options.queue = 5;
  const LoaderMemory full = Loader(clips().dataset(), options).memory();
  CHECK(full.batches == 6);
  CHECK(full.batch_bytes == 3 * (4 * 48 * 80 * 3 + 8));
  CHECK(full.workers == 3);
  CHECK(full.total() == 6 * full.batch_bytes + 3 * full.worker_bytes);
  const Epoch expected = run(clips().dataset(), options, 3);
  for (int64_t ahead = 1; ahead <= 5; ++ahead) {
    options.memory = full.total() - (5 - ahead) * full.batch_bytes;
    for (const int64_t spare : {int64_t{0}, full.batch_bytes - 1}) {
      options.memory += spare;
      Loader loader(clips().dataset(), options);
      CHECK(loader.memory().batches == ahead + 1);
      CHECK(loader.memory().total() <= options.memory);
      CHECK((run(loader, 3) == expected));
    }
  }
  const int64_t least = full.total() - 4 * full.batch_bytes;
  options.memory = least - 1;
  const auto [code, message] = error_of([&] { Loader loader(clips().dataset(), options); });
  CHECK(code == exit_code::kMemory);
  for (const char* part : {"3 clips of 4 frames of 80x48", "3 workers", "batch", "frames", "size", "--loader-memory "})
    CHECK(contains(message, part));
  options.memory = std::stoll(message.substr(message.rfind(' '))) << 20;
  CHECK(Loader(clips().dataset(), options).memory().batches >= 2);
  for (int workers = 1; workers <= 3; ++workers) {
    options.memory = full.worker_bytes * workers + full.batch_bytes * 2 + full.worker_bytes / 2;
    CHECK(affordable_workers(clips().dataset(), options) == workers);
  }
  options.memory = 1;
  CHECK(affordable_workers(clips().dataset(), options) == 1);
  options.memory = int64_t{1} << 40;
  CHECK(affordable_workers(clips().dataset(), options) == 3);
  options.workers = 0;
  CHECK(Loader(clips().dataset(), options).memory().batches == 1);
}

TEST_CASE("what a worker needs follows from what it reads") {
  if (!have_ffmpeg()) return;
  const auto worker_bytes = [](const Dataset& dataset, bool indexed) {
    LoaderOptions options = options_with(1);
    if (indexed) options.index = Mixture::index_of(dataset);
    return Loader(dataset, options).memory().worker_bytes;
  };
  const int64_t tiny = worker_bytes(mixture().dataset(), true), small = worker_bytes(clips().dataset(), true);
  CHECK(tiny < small);
  CHECK(small < worker_bytes(large(), true));
  CHECK(worker_bytes(large(), true) < worker_bytes(clips().dataset(), false));  // taken for 1920x1080
  const TemporaryFolder folder;
  Dataset decoded{.samples = {{folder / "a.frames", 0, "a", 0}}, .classes = {"a"}, .source = folder.path()};
  const auto stored = [&](int64_t frames) {
    write_decoded_clip(folder / "a.frames", Tensor::full({frames, 90, 70, 3}, 7, DType::u8));
    return worker_bytes(decoded, false);
  };
  CHECK(stored(11 + 8) - stored(11) == 2 * 8 * 90 * 70 * 3);
}

TEST_CASE("a loader takes the memory that it says, epoch after epoch, and few descriptors") {
  if (!have_ffmpeg()) return;
  if (UNDER_SANITIZER) {
    MESSAGE("skipped: a sanitizer's own memory would be measured");
    return;
  }
  LoaderOptions options = large_options(1);
  options.index = Mixture::index_of(large());
  for (const int workers : {1, 4}) {
    CAPTURE(workers);
    options.workers = workers;
    malloc_trim(0);
    const int64_t before = status("VmRSS"), descriptors = entries_in("/proc/self/fd");
    Loader loader(large(), options);
    int64_t most_descriptors = 0;
    std::vector<int64_t> peaks;
    for (int64_t epoch = 0; epoch < 10; ++epoch) {
      std::ofstream("/proc/self/clear_refs") << "5";  // the highest resident size starts anew
      loader.start_epoch(epoch);
      for (Batch batch; loader.next(batch);) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));  // so that workers come as far ahead as they may
        most_descriptors = std::max(most_descriptors, entries_in("/proc/self/fd"));
      }
      peaks.push_back(status("VmHWM") - before);
    }
    const int64_t most = std::ranges::max(peaks), said = loader.memory().total() >> 10;
    MESSAGE(workers, " workers: ", most, " of ", said, " KiB; the first epoch ", peaks.front(), ", the last ",
            peaks.back());
    CHECK(most <= said + said / 10);
    CHECK(*std::max_element(peaks.begin() + 2, peaks.end()) <= std::max(peaks[0], peaks[1]) + said / 10);
    CHECK(most_descriptors <= descriptors + workers + 20);
  }
}

TEST_CASE("a worker starts no threads of its own") {
  if (!have_ffmpeg()) return;
  LoaderOptions options = large_options(4);
  options.index = Mixture::index_of(large());
  const int64_t before = entries_in("/proc/self/task");
  Loader loader(large(), options);
  int64_t most = 0;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    loader.start_epoch(epoch);
    for (Batch batch; loader.next(batch);) most = std::max(most, entries_in("/proc/self/task"));
  }
  CHECK(most > before);
  CHECK(most <= before + 4);
}

TEST_CASE("the loader tells where time went") {
  if (!have_ffmpeg()) return;
  for (const bool indexed : {false, true}) {
    for (const int workers : {0, 3}) {
      LoaderOptions options = options_with(workers);
      if (indexed) options.index = Mixture::index_of(clips().dataset());
      Loader loader(clips().dataset(), options);
      const auto begin = std::chrono::steady_clock::now();
      run(loader, 0);
      const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      const LoaderStats& stats = loader.stats();
      double sum = stats.blocked_seconds;
      for (const double seconds : stats.stages) {
        CHECK(seconds > 0);
        sum += seconds;
      }
      CHECK(sum <= std::max(1, workers) * wall);
      CHECK(stats.wait_seconds > 0);
      CHECK(stats.wait_seconds <= wall);
      if (workers == 0) {
        CHECK(stats.blocked_seconds == 0);
        CHECK(sum <= stats.wait_seconds);
      }
      loader.start_epoch(1, loader.size());
      CHECK(stats.wait_seconds == 0);
    }
  }
}
