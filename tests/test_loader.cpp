// io/loader: the same batches whoever decodes them, clean stops, bad clips.
#include <algorithm>
#include <cstring>
#include <set>

#include "io/loader.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

constexpr int kClips = 11;

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

const Clips& clips() {
  static const Clips made;
  return made;
}

LoaderOptions options_with(int workers) {
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

Epoch run(Loader& loader, int64_t epoch) {
  Epoch result;
  loader.start_epoch(epoch);
  for (Batch batch; loader.next(batch);) {
    const auto frames = batch.frames.values<uint8_t>();
    const auto labels = batch.labels.values<int64_t>();
    result.bytes.insert(result.bytes.end(), frames.begin(), frames.end());
    result.labels.insert(result.labels.end(), labels.begin(), labels.end());
    result.items.insert(result.items.end(), batch.items.begin(), batch.items.end());
  }
  return result;
}

Epoch run(const Dataset& dataset, const LoaderOptions& options, int64_t epoch) {
  Loader loader(dataset, options);
  return run(loader, epoch);
}

}  // namespace

TEST_CASE("batches hold the clips, with their labels, each once an epoch") {
  if (!have_ffmpeg()) return;
  LoaderOptions options = options_with(2);
  options.training = false;
  options.shuffle = false;
  Loader loader(clips().dataset(), options);
  CHECK(loader.size() == 4);
  loader.start_epoch(0);
  int64_t item = 0;
  for (Batch batch; loader.next(batch);) {
    const int64_t count = item == 9 ? 2 : 3;
    REQUIRE(batch.frames.shape() == Shape{count, 4, 48, 80, 3});
    REQUIRE(batch.labels.shape() == Shape{count});
    const uint8_t* frame = batch.frames.values<uint8_t>().data();
    for (int64_t i = 0; i < count; ++i, ++item) {
      CHECK(batch.items[static_cast<size_t>(i)] == item);
      CHECK(batch.labels.values<int64_t>()[static_cast<size_t>(i)] == item % 2);
      for (const int offset : {2, 7, 12, 17}) {
        CHECK(number_shown(frame, {80, 48}) == item * 20 + offset);
        frame += FrameSize{80, 48}.bytes();
      }
    }
  }
  CHECK(item == kClips);
  CHECK(loader.stats().clips == kClips);
  CHECK(loader.stats().bad.empty());
  Batch none;
  CHECK_FALSE(loader.next(none));
}

TEST_CASE("the bytes of an epoch do not depend on the number of workers, nor on what came before") {
  if (!have_ffmpeg()) return;
  const Epoch expected = run(clips().dataset(), options_with(0), 3);
  CHECK(std::set(expected.items.begin(), expected.items.end()).size() == kClips);
  for (const int workers : {1, 2, 4}) {
    Loader loader(clips().dataset(), options_with(workers));
    CHECK(run(loader, 2) != expected);
    CHECK(run(loader, 3) == expected);
    CHECK(run(loader, 3) == expected);
  }
  LoaderOptions other = options_with(1);
  other.seed = 6;
  CHECK(run(clips().dataset(), other, 3) != expected);
}

TEST_CASE("an index changes nothing but the time it takes") {
  if (!have_ffmpeg()) return;
  const Dataset some = clips().damaged({4});
  std::vector<std::string> paths;
  for (const Sample& sample : some.samples) paths.push_back(sample.path);
  for (const int workers : {0, 3}) {
    LoaderOptions options = options_with(workers);
    Loader plain(some, options);
    const Epoch expected = run(plain, 1);
    options.index = update_index("", some.source, paths).index;
    Loader indexed(some, options);
    CHECK(run(indexed, 1) == expected);
    REQUIRE(plain.stats().bad.size() == 1);
    REQUIRE(indexed.stats().bad.size() == 1);
    CHECK(indexed.stats().bad[0].why == plain.stats().bad[0].why);
  }
}

TEST_CASE("mirrored clips, and no others, get the labels meant for them") {
  if (!have_ffmpeg()) return;
  LoaderOptions upright = options_with(0), mixed = options_with(0), swapped = options_with(3);
  upright.clip.augment.flip_probability = 0;
  swapped.mirrored_labels = {1, 0};
  const Epoch as_they_are = run(clips().dataset(), upright, 1), half = run(clips().dataset(), mixed, 1);
  const Epoch seen = run(clips().dataset(), swapped, 1);
  CHECK(seen.bytes == half.bytes);
  REQUIRE(seen.items == as_they_are.items);
  const size_t bytes = seen.bytes.size() / kClips;
  int mirrored = 0;
  for (size_t i = 0; i < kClips; ++i) {
    // Everything else is drawn before the mirroring, so that only mirrored clips differ.
    const bool differs = std::memcmp(&seen.bytes[i * bytes], &as_they_are.bytes[i * bytes], bytes) != 0;
    CHECK(half.labels[i] == seen.items[i] % 2);
    CHECK(seen.labels[i] == (seen.items[i] + differs) % 2);
    mirrored += differs;
  }
  CHECK(mirrored > 0);
  CHECK(mirrored < kClips);
}

TEST_CASE("drop_last leaves out what does not fill a batch") {
  if (!have_ffmpeg()) return;
  LoaderOptions options = options_with(1);
  options.drop_last = true;
  Loader loader(clips().dataset(), options);
  CHECK(loader.size() == 3);
  CHECK(run(loader, 0).items.size() == 9);
  options.batch = 100;
  Loader none(clips().dataset(), options);
  CHECK(none.size() == 0);
  CHECK(run(none, 0).items.empty());
}

TEST_CASE("a loader stops at any moment") {
  if (!have_ffmpeg()) return;
  for (int taken = 0; taken < 4; ++taken) {
    Loader loader(clips().dataset(), options_with(3));
    loader.start_epoch(0);
    Batch batch;
    for (int i = 0; i < taken; ++i) CHECK(loader.next(batch));
    if (taken % 2) loader.start_epoch(1);
  }
  Loader unused(clips().dataset(), options_with(2));
  Batch batch;
  CHECK_FALSE(unused.next(batch));
}

TEST_CASE("a bad clip gives its place to another of its class, the same one every time") {
  if (!have_ffmpeg()) return;
  const Dataset dataset = clips().damaged({4});
  const Epoch expected = run(dataset, options_with(0), 1);
  Loader loader(dataset, options_with(3));
  CHECK(run(loader, 1) == expected);
  REQUIRE(loader.stats().bad.size() == 1);
  CHECK(loader.stats().bad[0].item == 4);
  CHECK(contains(loader.stats().bad[0].why, "bad4.mp4"));
  CHECK(loader.stats().clips == kClips);
  CHECK(std::ranges::count(expected.items, 4) == 0);
  CHECK(std::ranges::count(expected.labels, 0) == 6);
  for (size_t i = 0; i < expected.items.size(); ++i) CHECK(expected.labels[i] == expected.items[i] % 2);
}

TEST_CASE("a bad clip is left out on request, and the others are what they are without it") {
  if (!have_ffmpeg()) return;
  for (const int64_t bad : {0, 4, 8, 10}) {
    const Dataset dataset = clips().damaged({static_cast<size_t>(bad)});
    Dataset without = clips().dataset();
    without.samples.erase(without.samples.begin() + bad);
    for (const int workers : {0, 3}) {
      LoaderOptions options = options_with(workers);
      options.training = options.shuffle = false;
      options.on_bad = BadClip::leave_out;
      const Epoch expected = run(without, options, 0);
      Loader loader(dataset, options);
      const Epoch seen = run(loader, 0);
      CHECK(seen.bytes == expected.bytes);
      CHECK(seen.labels == expected.labels);
      for (size_t i = 0; i < seen.items.size(); ++i)
        CHECK(seen.items[i] == expected.items[i] + (expected.items[i] >= bad ? 1 : 0));
      CHECK(loader.stats().clips == kClips - 1);
      REQUIRE(loader.stats().bad.size() == 1);
      CHECK(loader.stats().bad[0].item == bad);
    }
  }
}

TEST_CASE("a batch without a good clip is passed over, an epoch without one is an error") {
  if (!have_ffmpeg()) return;
  LoaderOptions options = options_with(2);
  options.batch = 1;
  options.on_bad = BadClip::leave_out;
  options.shuffle = false;
  CHECK(run(clips().damaged({5}), options, 0).items == std::vector<int64_t>{0, 1, 2, 3, 4, 6, 7, 8, 9, 10});
  CHECK(run(clips().damaged({10}), options, 0).items.size() == kClips - 1);
  Dataset single = clips().damaged({3});
  single.samples = {single.samples[3]};
  const auto [code, message] = error_of([&] { run(single, options, 0); });
  CHECK(code == exit_code::kData);
  CHECK(contains(message, "bad3.mp4"));
}

TEST_CASE("too many bad clips end the epoch, and so does the first one on request") {
  if (!have_ffmpeg()) return;
  const Dataset dataset = clips().damaged({1, 4, 6});
  for (const int workers : {0, 2}) {
    Loader loader(dataset, options_with(workers));
    const auto [code, message] = error_of([&] { run(loader, 0); });
    CHECK(code == exit_code::kData);
    CHECK(contains(message, "2 clips"));
    CHECK(contains(message, loader.stats().bad[0].why));
    Batch batch;
    CHECK_FALSE(loader.next(batch));
    LoaderOptions strict = options_with(workers);
    strict.on_bad = BadClip::leave_out;
    CHECK(contains(error_of([&] { run(dataset, strict, 0); }).second, "2 clips"));
    strict.on_bad = BadClip::error;
    CHECK(contains(error_of([&] { run(dataset, strict, 0); }).second, "not a video"));
  }
}

TEST_CASE("a class whose only clip is bad has no replacement") {
  if (!have_ffmpeg()) return;
  Dataset dataset = clips().damaged({0});
  dataset.classes.push_back("alone");
  dataset.samples[0].label = 2;
  const auto [code, message] = error_of([&] { run(dataset, options_with(2), 0); });
  CHECK(code == exit_code::kData);
  CHECK(contains(message, "bad0.mp4"));
}

TEST_CASE("options out of range are refused by name") {
  const auto message = [](auto change) {
    Dataset dataset;
    dataset.samples.push_back({"a.mp4", 0, "a.mp4", 0});
    dataset.classes = {"a"};
    LoaderOptions options;
    change(options, dataset);
    return error_of([&] { Loader loader(dataset, options); }).second;
  };
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.batch = 0; }), "batch"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.workers = -1; }), "workers"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.queue = 0; }), "queue"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.clip.frames = 0; }), "frames"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.mirrored_labels = {0, 1}; }), "2 labels"));
  CHECK(contains(message([](LoaderOptions&, Dataset& d) { d.samples.clear(); }), "no clips"));
}
