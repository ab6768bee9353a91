// io/clip: which frames, and what is read of them.
#include <algorithm>
#include <cstring>
#include <set>

#include "io/clip.h"
#include "io/decoded_clip.h"
#include "io/trim.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

using Frames = std::vector<int64_t>;

ClipOptions options_for(Sampling sampling, int frames, int stride = 1) {
  ClipOptions options;
  options.sampling = sampling;
  options.frames = frames;
  options.stride = stride;
  return options;
}

// Every pixel of frame i is i, and the width and height of the view are in what comes back.
class Numbers final : public FrameSource {
 public:
  explicit Numbers(int64_t count) : count_(count) {}
  int64_t frame_count() const override { return count_; }
  FrameSize size() const override { return {9, 7}; }
  void read_frames(std::span<const int64_t>, FrameSize, std::span<uint8_t>) override { FAIL("not asked for"); }
  void view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) override {
    check_room("numbers", indices.size(), view.size, rgb);
    for (size_t i = 0; i < indices.size(); ++i)
      std::memset(rgb.data() + i * view.size.bytes(), static_cast<int>(indices[i]), view.size.bytes());
  }

 private:
  int64_t count_;
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

TEST_CASE("temporal jitter moves every frame, evenly, and keeps their order") {
  ClipOptions options = options_for(Sampling::dense, 5, 20);
  options.temporal_jitter = 3;
  CHECK(sample_frames(81, options, nullptr) == std::vector<int64_t>{0, 20, 40, 60, 80});
  Random random(11);
  std::vector<std::set<int64_t>> seen(5);
  for (int i = 0; i < 400; ++i) {
    const auto sampled = sample_frames(81, options, &random);
    for (size_t t = 0; t < 5; ++t) seen[t].insert(sampled[t] - 20 * static_cast<int64_t>(t));
  }
  CHECK(seen[0] == std::set<int64_t>{0, 1, 2, 3});
  for (size_t t = 1; t < 4; ++t) CHECK(seen[t] == std::set<int64_t>{-3, -2, -1, 0, 1, 2, 3});
  CHECK(seen[4] == std::set<int64_t>{-3, -2, -1, 0});
  options.temporal_jitter = 50;
  for (int i = 0; i < 100; ++i) {
    const auto sampled = sample_frames(81, options, &random);
    CHECK(std::ranges::is_sorted(sampled));
    CHECK(sampled.front() >= 0);
    CHECK(sampled.back() <= 80);
  }
}

TEST_CASE("plans are functions of their draws") {
  ClipOptions options = options_for(Sampling::uniform, 8);
  options.augment.max_scale = 1.5;
  options.augment.random_crop = true;
  options.augment.rotation = 20;
  options.augment.hue = 0.1;
  options.augment.flip_probability = 0.5;
  const auto plan_of = [&](uint64_t seed) {
    Random random(seed);
    return plan_clip({.frames = 50, .size = {320, 240}}, options, &random);
  };
  const ClipPlan first = plan_of(1), again = plan_of(1), other = plan_of(2);
  CHECK(first.frames == again.frames);
  CHECK(first.view.affine == again.view.affine);
  CHECK(first.view.colour == again.view.colour);
  CHECK(first.frames != other.frames);
  CHECK(first.view.affine != other.view.affine);
}

TEST_CASE("read_clip reads the planned frames as planned, one after the other") {
  const TemporaryFolder folder;
  const Tensor frames = Tensor::empty({4, 6, 9, 3}, DType::u8);
  Random random(5);
  for (uint8_t& value : frames.values<uint8_t>()) value = static_cast<uint8_t>(random.below(256));
  write_decoded_clip(folder / "clip.frames", frames);
  const auto source = open_frames(folder / "clip.frames");
  ClipPlan plan;
  plan.frames = {3, 0, 3};
  plan.view.size = {5, 4};
  plan.view.affine = {-1.0 / 9, 0, 7.0 / 9, 0, 1.0 / 6, 2.0 / 6};  // from column 2 and row 2 on, mirrored
  std::vector<uint8_t> clip(3 * plan.view.size.bytes());
  read_clip(*source, plan, clip);
  int64_t wrong = 0;
  for (size_t i = 0; i < clip.size(); ++i) {
    const size_t c = i % 3, x = i / 3 % 5, y = i / 15 % 4, t = i / 60;
    const auto frame = static_cast<size_t>(plan.frames[t]);
    wrong += clip[i] != frames.values<uint8_t>()[((frame * 6 + y + 2) * 9 + 6 - x) * 3 + c];
  }
  CHECK(wrong == 0);
  CHECK_THROWS_AS(read_clip(*source, plan, std::span(clip).first(10)), Error);
}

TEST_CASE("by time, frames of a video of variable rate are those on the screen, of parts of it too") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  ClipOptions options = options_for(Sampling::dense, 6);
  options.fps = 12.5;  // every second of the 25 ticks of a second
  options.width = kSmall.width, options.height = kSmall.height;
  for (const char* name : {"a.mp4", "a.mkv"}) {
    // Frame i is shown at tick i + i / 3: 0 1 2 4 5 6 8 9 10 12 13 14 16 17 18 20 ... 38, the last until 39.3.
    make_video(folder / name, 30, std::string("-vf setpts='round((N+floor(N/3))/25/TB)' -vsync passthrough ") + kX264);
    const auto planned = [&](const FrameSource& source) {
      return plan_clip(clip_source(source, options, name), options, nullptr);
    };
    const auto source = open_frames(folder / name);
    const ClipPlan plan = planned(*source);  // from tick 14 on
    CHECK(plan.frames == std::vector<int64_t>{11, 12, 14, 15, 17, 18});
    std::vector<uint8_t> rgb(6 * kSmall.bytes());
    read_clip(*source, plan, rgb);
    for (size_t t = 0; t < 6; ++t) CHECK(number_shown(&rgb[t * kSmall.bytes()], kSmall) == plan.frames[t]);
    // From 0.3 s, where frame 5 is on the screen, to 0.83 s: frames 5 to 15, at ticks 0 2 3 4 6 7 8 10 11 12 14.
    const auto part = open_clip({folder / name, 0, name, 0, {}, 0.3, 0.83});
    REQUIRE(part->frame_count() == 11);
    CHECK(part->times()[10] == doctest::Approx(14 / 25.0).epsilon(0.002));
    CHECK(planned(*part).frames == std::vector<int64_t>{1, 3, 4, 6, 7, 9});  // ticks 2 to 12
    options.short_videos = ShortVideo::loop;
    options.stride = 2;  // every fourth: ticks 0 4 8 12, and 16 20 of a part that ends at 15.4
    CHECK(planned(*part).frames == std::vector<int64_t>{0, 3, 6, 9, 0, 3});
    options.short_videos = ShortVideo::usual;
    options.stride = 1;
  }
}

TEST_CASE("the shape of pixels is that of the picture as shown") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "a.mp4", 3, std::string("-vf setsar=4/3 ") + kX264);
  ClipOptions options = options_for(Sampling::uniform, 2);
  options.width = 48, options.height = 96;
  options.sar = true;
  const auto plan_of = [&](const std::string& path) {
    const auto source = open_frames(path);
    return plan_clip(clip_source(*source, options, path), options, nullptr);
  };
  // 160 x 96 is shown as 213 x 96, of which 48 columns from the 82nd on are seen.
  const ClipPlan wide = plan_of(folder / "a.mp4");
  CHECK(wide.view.affine[0] == doctest::Approx(1.0 / 213).epsilon(1e-9));
  CHECK(wide.view.affine[2] == doctest::Approx(82.0 / 213).epsilon(1e-9));
  options.sar = false;
  CHECK(plan_of(folder / "a.mp4").view.affine[0] == doctest::Approx(1.0 / 160).epsilon(1e-9));
  options.sar = true;
  // Turned by 90 degrees, its pixels are higher than wide: 96 x 160 is shown as 72 x 160, and covers 48 x 96 as 48 x
  // 107.
  std::string content = read_file(folder / "a.mp4");
  const size_t matrix = content.find("tkhd") + 44;
  const std::string turned = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, '\xff', '\xff', 0, 0, 0, 0, 0, 0};
  content.replace(matrix, turned.size(), turned);
  write_file(folder / "turned.mp4", content);
  VideoReader reader(folder / "turned.mp4");
  REQUIRE(reader.info().rotation == 90);
  CHECK(reader.pixel_aspect() == doctest::Approx(0.75));
  CHECK(plan_of(folder / "turned.mp4").view.affine[0] == doctest::Approx(1.0 / 48).epsilon(1e-9));
  CHECK(plan_of(folder / "turned.mp4").view.affine[4] == doctest::Approx(1.0 / 107).epsilon(1e-9));
}

TEST_CASE("a view is a clip and a place, and one view is what it was without views") {
  const FrameSize picture{171, 96};
  ClipOptions options = options_for(Sampling::dense, 4);
  options.width = 40, options.height = 48;
  options.augment.fill = {3, 5, 7};
  options.augment.rgb_first = true;
  const ClipSource source{.frames = 30, .size = picture};
  const ClipPlan plain = plan_clip(source, options, nullptr);
  const FrameView before =
      view_of(draw_augmentation(picture, {40, 48}, options.augment, nullptr), picture, {40, 48}, options.augment);
  const auto same = [](const FrameView& a, const FrameView& b) {
    return a.affine == b.affine && a.colour == b.colour && a.fill == b.fill && a.rgb_first == b.rgb_first &&
           a.size == b.size && a.cut == b.cut && a.erased == b.erased && a.fill_border == b.fill_border;
  };
  CHECK(same(plain.view, before));
  CHECK_FALSE(plain.flip);
  options.clips = 3;
  for (const TestCrops crops : {TestCrops::centre, TestCrops::three, TestCrops::ten}) {
    options.crops = crops;
    const int places = count_of(crops);
    REQUIRE(views_of(options) == 3 * places);
    const auto views = test_views(picture, {40, 48}, crops, options.augment);
    for (int view = 0; view < views_of(options); ++view) {
      const ClipPlan plan = plan_clip(source, options, nullptr, view);
      CHECK(plan.frames == sample_frames(source, options, nullptr, view / places));
      CHECK(same(plan.view, views[static_cast<size_t>(view % places)]));
      CHECK(plan.flip == (view % places >= 5));
    }
  }
}

TEST_CASE("--sar apply sees a picture as wide as its pixels make it") {
  ClipOptions options = options_for(Sampling::dense, 4);
  options.width = 40, options.height = 48;
  options.augment.random_crop = true;
  options.augment.rotation = 20;
  const auto plan_of = [&](FrameSize size, double aspect, bool apply) {
    options.sar = apply;
    Random random(9);
    return plan_clip({.frames = 30, .size = size, .pixel_aspect = aspect}, options, &random);
  };
  CHECK(plan_of({160, 96}, 1.5, true).view.affine == plan_of({240, 96}, 1, false).view.affine);
  CHECK(plan_of({160, 96}, 1.5, false).view.affine == plan_of({160, 96}, 1, false).view.affine);
  CHECK(plan_of({160, 96}, 1.5, true).view.affine != plan_of({160, 96}, 1, false).view.affine);
  CHECK(plan_of({160, 96}, 1e12, true).frames == plan_of({160, 96}, 1, false).frames);  // absurd, and harmless
  // What is cut out for the two passes of rgb_first is in pixels that there are, and holds all that is seen.
  options.augment = {.resized_crop = true, .rgb_first = true};
  options.sar = true;
  Random random(10);
  for (int i = 0; i < 200; ++i) {
    const FrameView view = plan_clip({.frames = 9, .size = {97, 65}, .pixel_aspect = 64.0 / 45}, options, &random).view;
    const auto [x, y, width, height] = view.cut;
    REQUIRE((x >= 0 && y >= 0 && width > 0 && height > 0 && x + width <= 97 && y + height <= 65));
    const double left = view.affine[2] * 97, right = left + view.affine[0] * 40 * 97;
    CHECK((x <= left + 1e-9 && x > left - 1 && right <= x + width + 1e-9 && right > x + width - 1));
  }
}

TEST_CASE("draws of a clip are its own") {
  const auto number = [](Random random) { return random.bits(); };
  CHECK(number(clip_draws(5, 2, 7)) == number(clip_draws(5, 2, 7, 0)));
  std::set<uint32_t> seen;
  for (const uint64_t seed : {5, 6})
    for (const int64_t epoch : {0, 2})
      for (const int64_t sample : {0, 7})
        for (const uint32_t attempt : {0, 1}) seen.insert(number(clip_draws(seed, epoch, sample, attempt)));
  CHECK(seen.size() == 16);
}

TEST_CASE("padding is written where the plan has it") {
  Numbers source(4);
  ClipPlan plan;
  plan.view = whole_view({5, 3});
  plan.pad = {12.4, 12.5, 255};
  for (const Frames& frames : {Frames{0, 2, 3, kPadding, kPadding}, Frames{kPadding, 3, kPadding, 1, 2},
                               Frames{kPadding, kPadding, kPadding}, Frames{1, 1, 2}}) {
    plan.frames = frames;
    const size_t bytes = plan.view.size.bytes();
    std::vector<uint8_t> rgb(frames.size() * bytes, 99);
    read_clip(source, plan, rgb);
    int64_t wrong = 0;
    const std::array<uint8_t, 3> pad{12, 13, 255};
    for (size_t i = 0; i < rgb.size(); ++i) {
      const int64_t frame = frames[i / bytes];
      wrong += rgb[i] != (frame == kPadding ? pad[i % 3] : static_cast<uint8_t>(frame));
    }
    CHECK(wrong == 0);
    CHECK_THROWS_AS(read_clip(source, plan, std::span(rgb).first(rgb.size() - 1)), Error);
  }
}

TEST_CASE("options out of range are refused by name") {
  const auto message = [](auto change) {
    ClipOptions options;
    change(options);
    const auto [code, text] = error_of([&] { check_options(options); });
    CHECK(code == exit_code::kUsage);
    return text;
  };
  CHECK(contains(message([](ClipOptions& o) { o.frames = 0; }), "clip: frames is 0; it must be from 1 to "));
  CHECK(contains(message([](ClipOptions& o) { o.stride = -1; }), "stride"));
  CHECK(contains(message([](ClipOptions& o) { o.width = 0; }), "width"));
  CHECK(contains(message([](ClipOptions& o) { o.temporal_jitter = -1; }), "temporal_jitter"));
  CHECK(contains(message([](ClipOptions& o) { o.fps = -0.5; }), "fps"));
  CHECK(contains(message([](ClipOptions& o) { o.fps = 0.0 / 0.0; }), "fps"));
  CHECK(contains(message([](ClipOptions& o) { o.clips = 0; }), "clips"));
  CHECK(contains(message([](ClipOptions& o) { o.pad[1] = 256; }), "pad"));
  CHECK(contains(message([](ClipOptions& o) { o.augment.hue = 0.6; }), "clip: hue is 0.6; it must be from 0 to 0.5"));
  CHECK(contains(message([](ClipOptions& o) { o.augment.min_area = 0; }), "min_area"));
  CHECK(contains(message([](ClipOptions& o) { o.augment.max_ratio = 0.5; }), "min_ratio"));
  CHECK(contains(message([](ClipOptions& o) { o.augment.fill[2] = 256; }), "fill"));
  CHECK(contains(message([](ClipOptions& o) { o.augment.min_scale = 0.5; }), "min_scale"));
  CHECK(contains(message([](ClipOptions& o) { o.augment.flip_probability = 2; }), "flip_probability"));
  CHECK(contains(message([](ClipOptions& o) { o.augment.max_scale = 0.0 / 0.0; }), "max_scale"));
  check_options(ClipOptions{});
}
