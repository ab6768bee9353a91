// io/loader: the same batches whoever decodes them, resumed, in shards; clean stops, bad clips.
#include <cstring>
#include <set>

#include "tests/loader_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

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

TEST_CASE("an epoch goes on at any batch as if it had not been left") {
  if (!have_ffmpeg()) return;
  for (const int workers : {0, 3}) {
    Loader whole(clips().dataset(), options_with(workers)), resumed(clips().dataset(), options_with(workers));
    const Epoch expected = run(whole, 3);
    CHECK(whole.position() == whole.size());
    for (int64_t first = 0; first <= whole.size(); ++first) {
      resumed.start_epoch(2);
      Batch batch;
      REQUIRE(resumed.next(batch));
      CHECK(resumed.position() == 1);
      const Epoch rest = run(resumed, 3, first);
      const size_t skipped = std::min<size_t>(static_cast<size_t>(first) * 3, kClips);
      const auto end_of = [&](const auto& values) {
        return std::vector(values.begin() + static_cast<int64_t>(values.size() / kClips * skipped), values.end());
      };
      CHECK(rest.items == end_of(expected.items));
      CHECK(rest.labels == end_of(expected.labels));
      CHECK((rest.bytes == end_of(expected.bytes)));
      CHECK(resumed.stats().clips == std::ssize(rest.items));
    }
    CHECK(error_of([&] { resumed.start_epoch(3, whole.size() + 1); }).first == exit_code::kUsage);
    CHECK(error_of([&] { resumed.start_epoch(3, -1); }).first == exit_code::kUsage);
  }
}

TEST_CASE("shards part an epoch by stride") {
  if (!have_ffmpeg()) return;
  const Epoch whole = run(clips().dataset(), options_with(0), 3);
  const size_t bytes = whole.bytes.size() / kClips;
  for (const int shards : {2, 3, 5, 16}) {
    size_t seen = 0;
    for (int shard = 0; shard < shards; ++shard) {
      LoaderOptions options = options_with(shard % 3);
      options.shard = shard;
      options.shards = shards;
      Loader loader(clips().dataset(), options);
      const Epoch part = run(loader, 3);
      for (size_t i = 0; i < part.items.size(); ++i, ++seen) {
        const size_t place = static_cast<size_t>(shard) + i * static_cast<size_t>(shards);
        REQUIRE(place < kClips);
        CHECK(part.items[i] == whole.items[place]);
        CHECK(std::memcmp(&part.bytes[i * bytes], &whole.bytes[place * bytes], bytes) == 0);
      }
      CHECK(loader.size() == (std::ssize(part.items) + 2) / 3);
      options.drop_last = true;
      Loader even(clips().dataset(), options);
      CHECK(even.size() == kClips / shards / 3);
      CHECK(std::ssize(run(even, 3).items) == 3 * even.size());
    }
    CHECK(seen == kClips);
  }
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
    const auto [code, text] = error_of([&] { Loader loader(dataset, options); });
    CHECK(code == (dataset.samples.empty()            ? exit_code::kData
                   : !options.mirrored_labels.empty() ? exit_code::kInternal
                                                      : exit_code::kUsage));
    return text;
  };
  CHECK(
      contains(message([](LoaderOptions& o, Dataset&) { o.batch = 0; }), "loader: batch is 0; it must be from 1 to "));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.workers = -1; }), "workers"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.queue = 0; }), "queue"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.workers = kMaxWorkers + 1; }), "from 0 to 256"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.memory = -1; }), "memory"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.shards = 0; }), "shards"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.shard = 1; }), "shard"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.clip.frames = 0; }), "frames"));
  CHECK(contains(message([](LoaderOptions& o, Dataset&) { o.mirrored_labels = {0, 1}; }), "2 labels"));
  CHECK(contains(message([](LoaderOptions&, Dataset& d) { d.samples.clear(); }), "loader: no clips in "));
}
