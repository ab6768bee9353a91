// io/clip: which frames, which part of the picture.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "io/clip.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

ClipOptions options_for(Sampling sampling, int frames, int stride = 1) {
  ClipOptions options;
  options.sampling = sampling;
  options.frames = frames;
  options.stride = stride;
  return options;
}

// A source whose pixel (x, y) of frame k is (k, x, y) at whatever size it is asked for.
class Coordinates final : public FrameSource {
 public:
  int64_t frame_count() const override { return 100; }
  FrameSize size() const override { return {40, 30}; }
  void read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) override {
    size_t at = 0;
    for (const int64_t index : indices)
      for (int y = 0; y < size.height; ++y)
        for (int x = 0; x < size.width; ++x)
          for (const int64_t value : {index, int64_t{x}, int64_t{y}}) rgb[at++] = static_cast<uint8_t>(value);
  }
};

}  // namespace

TEST_CASE("sampled frames lie in the video, ascend, and number T, for every length") {
  for (const Sampling sampling : {Sampling::uniform, Sampling::dense}) {
    for (const int64_t count : {1, 2, 3, 7, 16, 17, 100, 100000}) {
      for (const int frames : {1, 2, 8, 16, 33}) {
        for (const int stride : {1, 2, 9}) {
          for (uint32_t trial = 0; trial < 4; ++trial) {
            Random random(1, 0, trial);
            const auto sampled = sample_frames(count, options_for(sampling, frames, stride), trial ? &random : nullptr);
            REQUIRE(std::ssize(sampled) == frames);
            CHECK(std::ranges::is_sorted(sampled));
            CHECK(sampled.front() >= 0);
            CHECK(sampled.back() < count);
          }
        }
      }
    }
  }
}

TEST_CASE("dense clips are consecutive, centred in evaluation, and repeat the last frame of a short video") {
  const auto centred = sample_frames(10, options_for(Sampling::dense, 4, 2), nullptr);
  CHECK(centred == std::vector<int64_t>{1, 3, 5, 7});
  CHECK(sample_frames(7, options_for(Sampling::dense, 4, 2), nullptr) == std::vector<int64_t>{0, 2, 4, 6});
  CHECK(sample_frames(5, options_for(Sampling::dense, 4, 2), nullptr) == std::vector<int64_t>{0, 2, 4, 4});
  Random random(5);
  CHECK(sample_frames(1, options_for(Sampling::dense, 3), &random) == std::vector<int64_t>{0, 0, 0});
  std::set<int64_t> starts;
  for (int i = 0; i < 300; ++i) {
    const auto sampled = sample_frames(12, options_for(Sampling::dense, 4, 2), &random);
    for (size_t t = 1; t < sampled.size(); ++t) CHECK(sampled[t] - sampled[t - 1] == 2);
    starts.insert(sampled[0]);
  }
  CHECK(starts == std::set<int64_t>{0, 1, 2, 3, 4, 5});  // the last clip ends with the last frame
}

TEST_CASE("uniform clips take one frame of every segment, and reach all of it") {
  CHECK(sample_frames(100, options_for(Sampling::uniform, 4), nullptr) == std::vector<int64_t>{12, 37, 62, 87});
  CHECK(sample_frames(3, options_for(Sampling::uniform, 6), nullptr) == std::vector<int64_t>{0, 0, 1, 1, 2, 2});
  CHECK(sample_frames(1, options_for(Sampling::uniform, 3), nullptr) == std::vector<int64_t>{0, 0, 0});
  Random random(6);
  std::vector<std::set<int64_t>> seen(4);
  for (int i = 0; i < 500; ++i) {
    const auto sampled = sample_frames(20, options_for(Sampling::uniform, 4), &random);
    for (size_t t = 0; t < 4; ++t) {
      CHECK(sampled[t] / 5 == static_cast<int64_t>(t));
      seen[t].insert(sampled[t]);
    }
  }
  for (const auto& segment : seen) CHECK(segment.size() == 5);
}

TEST_CASE("plans are functions of their draws") {
  ClipOptions options = options_for(Sampling::uniform, 8);
  options.max_scale = 1.5;
  options.random_crop = true;
  options.flip_probability = 0.5;
  const auto plan_of = [&](uint64_t seed) {
    Random random(seed);
    return plan_clip(50, {320, 240}, options, &random);
  };
  const ClipPlan first = plan_of(1), again = plan_of(1), other = plan_of(2);
  CHECK(first.frames == again.frames);
  CHECK(first.resized == again.resized);
  CHECK(first.crop_x == again.crop_x);
  CHECK(first.frames != other.frames);
}

TEST_CASE("the cut lies in the resized picture, which keeps its proportions and covers the size asked for") {
  ClipOptions options = options_for(Sampling::uniform, 2);
  options.width = 48;
  options.height = 64;
  options.max_scale = 1.4;
  options.random_crop = true;
  options.flip_probability = 0.3;
  int flips = 0;
  std::set<int> corners_x, corners_y;
  for (const FrameSize source : {FrameSize{170, 128}, FrameSize{128, 170}, FrameSize{1, 1}, FrameSize{48, 64}}) {
    for (uint32_t trial = 0; trial < 400; ++trial) {
      Random random(9, 0, trial);
      const ClipPlan plan = plan_clip(30, source, options, &random);
      CHECK(plan.size == FrameSize{48, 64});
      CHECK(plan.crop_x >= 0);
      CHECK(plan.crop_y >= 0);
      CHECK(plan.crop_x + 48 <= plan.resized.width);
      CHECK(plan.crop_y + 64 <= plan.resized.height);
      const double proportion = double(source.width) / source.height;
      CHECK(std::abs(plan.resized.width - proportion * plan.resized.height) <= 0.5 + 0.5 * proportion);
      CHECK(plan.resized.height <= std::lround(1.4 * std::max(64.0, 48 / proportion)));
      flips += plan.flip;
      if (source.width != 170) continue;
      corners_x.insert(plan.crop_x);
      corners_y.insert(plan.crop_y);
    }
  }
  CHECK(corners_x.size() > 30);
  CHECK(corners_y.size() > 10);
  CHECK(flips > 380);
  CHECK(flips < 580);
  const ClipPlan centred = plan_clip(30, {170, 128}, options, nullptr);
  CHECK(centred.resized == FrameSize{85, 64});
  CHECK(centred.crop_x == 18);
  CHECK(centred.crop_y == 0);
  CHECK_FALSE(centred.flip);
  const ClipPlan ribbon = plan_clip(30, {100000, 2}, options, nullptr);
  CHECK(ribbon.resized == FrameSize{48 * 16, 64});
}

TEST_CASE("read_clip cuts and mirrors what the plan says") {
  ClipPlan plan;
  plan.frames = {3, 3, 90};
  plan.resized = {50, 40};
  plan.crop_x = 7;
  plan.crop_y = 5;
  plan.size = {20, 30};
  Coordinates source;
  std::vector<uint8_t> clip(3 * plan.size.bytes());
  for (const bool flip : {false, true}) {
    plan.flip = flip;
    read_clip(source, plan, clip);
    bool right = true;
    for (size_t t = 0; t < 3; ++t) {
      for (int y = 0; y < 30; ++y) {
        for (int x = 0; x < 20; ++x) {
          const uint8_t* pixel = &clip[t * plan.size.bytes() + static_cast<size_t>(y * 20 + x) * 3];
          right = right && pixel[0] == plan.frames[t] && pixel[1] == 7 + (flip ? 19 - x : x) && pixel[2] == 5 + y;
        }
      }
    }
    CHECK(right);
  }
  CHECK_THROWS_AS(read_clip(source, plan, std::span(clip).first(10)), Error);
}

TEST_CASE("options out of range are refused by name") {
  const auto message = [](auto change) {
    ClipOptions options;
    change(options);
    const auto [code, text] = error_of([&] { check_options(options); });
    CHECK(code == exit_code::kUsage);
    return text;
  };
  CHECK(contains(message([](ClipOptions& o) { o.frames = 0; }), "frames"));
  CHECK(contains(message([](ClipOptions& o) { o.stride = -1; }), "stride"));
  CHECK(contains(message([](ClipOptions& o) { o.width = 0; }), "width"));
  CHECK(contains(message([](ClipOptions& o) { o.min_scale = 0.5; }), "min_scale"));
  CHECK(contains(message([](ClipOptions& o) { o.flip_probability = 2; }), "flip_probability"));
  CHECK(contains(message([](ClipOptions& o) { o.max_scale = 0.0 / 0.0; }), "max_scale"));
  check_options({});
}
