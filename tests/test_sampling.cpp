// io/clip: the frames of a clip against formulas in whole numbers, by number and by time, of short videos too; how
// draws are spread; several clips and windows.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "io/clip.h"

using namespace engine;

namespace {

constexpr int64_t kT = 5;
using Frames = std::vector<int64_t>;

ClipOptions options_for(Sampling sampling, int frames, int stride = 1, ShortVideo policy = ShortVideo::usual) {
  ClipOptions options;
  options.sampling = sampling;
  options.frames = frames;
  options.stride = stride;
  options.short_videos = policy;
  return options;
}

// Times of `count` frames at a constant rate, as a container of this resolution rounds them.
std::vector<double> steady(int64_t count, double fps, double resolution = 0) {
  std::vector<double> times;
  for (int64_t i = 0; i < count; ++i) {
    const double time = static_cast<double>(i) / fps;
    times.push_back(resolution > 0 ? std::round(time / resolution) * resolution : time);
  }
  return times;
}

std::vector<double> unsteady(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<double> times{0};
  while (std::ssize(times) < count) times.push_back(times.back() + static_cast<double>(1 + random.below(9)) / 90);
  return times;
}

// The last frame whose time is at most a millisecond behind what is wanted, found by looking at all.
int64_t shown_at(const std::vector<double>& times, double wanted) {
  int64_t found = 0;
  for (int64_t i = 0; i < std::ssize(times); ++i)
    if (times[static_cast<size_t>(i)] <= wanted + 1e-3) found = i;
  return found;
}

// Whether counts are what `expected` says, in proportion, by the chi-squared test at one in a thousand, with the cube
// root approximation of Wilson and Hilferty.
bool as_expected(const std::vector<double>& counts, std::vector<double> expected) {
  const double drawn = std::accumulate(counts.begin(), counts.end(), 0.0);
  const double sum = std::accumulate(expected.begin(), expected.end(), 0.0);
  double chi = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double mean = expected[i] * drawn / sum;
    chi += (counts[i] - mean) * (counts[i] - mean) / mean;
  }
  const double freedom = static_cast<double>(counts.size() - 1), part = 2 / (9 * freedom);
  return chi < freedom * std::pow(1 - part + 3.0902 * std::sqrt(part), 3);
}

int error_code(const auto& f, const std::string& word) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find(word) != std::string::npos);
    return error.code();
  }
  return -1;
}

}  // namespace

TEST_CASE("sampling: every policy and length, as the formulas say") {
  Random random(31);
  for (const Sampling sampling : {Sampling::uniform, Sampling::dense})
    for (const auto& [name, policy] : kShortVideoNames)
      for (const int stride : {1, 3})
        for (int64_t n = 1; n <= 3 * kT; ++n) {
          CAPTURE(std::string(name));
          CAPTURE(n);
          CAPTURE(stride);
          const ClipOptions options = options_for(sampling, kT, stride, policy);
          const bool uniform = sampling == Sampling::uniform;
          const int64_t step = uniform ? 1 : stride, span = (kT - 1) * step + 1;
          const bool is_too_short = n < span;
          CHECK(is_short(n, 0, options) == is_too_short);
          const ClipSource source{.frames = n, .name = "the name"};
          if (is_too_short && (policy == ShortVideo::skip || policy == ShortVideo::error)) {
            CHECK(error_code([&] { sample_frames(source, options, nullptr); }, "the name: only ") == exit_code::kData);
            continue;
          }
          const bool usual = policy == ShortVideo::usual;
          const bool evenly = is_too_short ? policy == ShortVideo::repeat || (usual && uniform) : uniform;
          const auto centred = sample_frames(source, options, nullptr);
          const auto drawn = sample_frames(source, options, &random);
          REQUIRE(std::ssize(centred) == kT);
          REQUIRE(std::ssize(drawn) == kT);
          for (int64_t t = 0; t < kT; ++t) {
            const int64_t at = t * step, frame = centred[static_cast<size_t>(t)], other = drawn[static_cast<size_t>(t)];
            if (evenly) {
              CHECK(frame == (2 * t + 1) * n / (2 * kT));
              CHECK(other * kT < (t + 1) * n);
              CHECK((other + 1) * kT > t * n);
            } else if (!is_too_short) {
              CHECK(frame == (n - span) / 2 + at);
              CHECK(other == drawn[0] + at);
              CHECK((drawn[0] >= 0 && drawn[0] <= n - span));
            } else {
              const int64_t expected = policy == ShortVideo::loop             ? at % n
                                       : policy == ShortVideo::pad && at >= n ? kPadding
                                                                              : std::min(at, n - 1);
              CHECK(frame == expected);
              CHECK(other == expected);
            }
          }
        }
}

TEST_CASE("sampling: by time at the video's own rate it is sampling by number") {
  for (const auto& [name, policy] : kShortVideoNames)
    for (const int stride : {1, 3})
      for (const auto& [fps, resolution] : {std::pair{25.0, 0.0}, {30.0, 1e-3}, {30000.0 / 1001, 1e-3}, {12.5, 1e-3}})
        for (int64_t n = 1; n <= 3 * kT; ++n)
          for (const int clips : {1, 2, 4}) {
            CAPTURE(std::string(name));
            CAPTURE(n);
            CAPTURE(stride);
            CAPTURE(fps);
            CAPTURE(clips);
            ClipOptions numbered = options_for(Sampling::dense, kT, stride, policy);
            numbered.clips = clips;
            ClipOptions timed = numbered;
            timed.fps = fps;
            const std::vector<double> times = steady(n, fps, resolution);
            const ClipSource source{.frames = n, .times = times};
            CHECK(is_short(n, times.back(), timed) == is_short(n, 0, numbered));
            if (is_short(n, 0, numbered) && (policy == ShortVideo::skip || policy == ShortVideo::error)) continue;
            if (policy == ShortVideo::loop && resolution > 0) continue;  // what is rounded off adds up
            for (int clip = 0; clip < clips; ++clip)
              CHECK(sample_frames(source, timed, nullptr, clip) == sample_frames(source, numbered, nullptr, clip));
          }
}

TEST_CASE("sampling: by time in a video of variable rate") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<double> times = unsteady(37, seed);
    ClipOptions options = options_for(Sampling::dense, 6, 2);
    options.fps = 11.5;
    const ClipSource source{.frames = 37, .times = times};
    const double span = 5 * 2 / 11.5, spare = times.back() - span;
    REQUIRE(spare > 0);
    for (const int clips : {1, 3}) {
      options.clips = clips;
      for (int clip = 0; clip < clips; ++clip) {
        const Frames frames = sample_frames(source, options, nullptr, clip);
        const double start = clips == 1 ? spare / 2 : clip * spare / 2;
        for (size_t t = 0; t < 6; ++t) CHECK(frames[t] == shown_at(times, start + static_cast<double>(t) * 2 / 11.5));
      }
    }
    CHECK(sample_frames(source, options, nullptr, 2).back() == 36);
    Random random(seed);
    for (int i = 0; i < 20; ++i) {
      const Frames frames = sample_frames(source, options, &random);
      const double start = times[static_cast<size_t>(frames[0])];
      for (size_t t = 0; t < 6; ++t) CHECK(frames[t] == shown_at(times, start + static_cast<double>(t) * 2 / 11.5));
      CHECK(start + span < times.back() * 37 / 36);
    }
    options.clips = 1;
    options.fps = 1;  // too short now
    options.short_videos = ShortVideo::loop;
    const double end = times.back() * 37 / 36;
    const Frames looped = sample_frames(source, options, nullptr);
    for (size_t t = 0; t < 6; ++t)
      CHECK(looped[t] == shown_at(times, std::fmod(2.0 * static_cast<double>(t) + 1e-3, end) - 1e-3));
    options.short_videos = ShortVideo::pad;
    const Frames padded = sample_frames(source, options, nullptr);
    for (size_t t = 0; t < 6; ++t)
      CHECK(padded[t] ==
            (2.0 * static_cast<double>(t) >= end ? kPadding : shown_at(times, 2.0 * static_cast<double>(t))));
  }
}

TEST_CASE("sampling: by time is refused for a source without times, and nothing to uniform sampling") {
  ClipOptions options = options_for(Sampling::dense, 4);
  options.fps = 10;
  CHECK(error_code([&] { sample_frames({.frames = 30, .name = "x.frames"}, options, nullptr); },
                   "x.frames: only videos") == exit_code::kData);
  options.sampling = Sampling::uniform;
  CHECK(sample_frames({.frames = 30}, options, nullptr) == Frames{3, 11, 18, 26});
}

TEST_CASE("sampling: starts are spread as they should, by number and by time") {
  constexpr int kDraws = 6000;
  const int64_t n = 31;
  ClipOptions options = options_for(Sampling::dense, 5, 4);  // span 17: 15 starts
  std::vector<double> counts(15);
  Random random(8);
  for (int i = 0; i < kDraws; ++i) ++counts.at(static_cast<size_t>(sample_frames(n, options, &random)[0]));
  CHECK(as_expected(counts, std::vector<double>(15, 1.0)));
  std::vector<double> leaning = counts;
  for (size_t i = 0; i < 15; ++i) leaning[i] *= i < 7 ? 1.2 : 1;
  CHECK_FALSE(as_expected(leaning, std::vector<double>(15, 1.0)));
  options.fps = 25;
  const std::vector<double> even = steady(n, 25);
  std::ranges::fill(counts, 0);
  for (int i = 0; i < kDraws; ++i)
    ++counts.at(static_cast<size_t>(sample_frames({.frames = n, .times = even}, options, &random)[0]));
  CHECK(as_expected(counts, std::vector<double>(15, 1.0)));
  // As long as a frame is on the screen, so often it is the first.
  const std::vector<double> times = unsteady(n, 5);
  const double last_start = times.back() * 31 / 30 - 16 / 25.0;
  std::vector<double> shown, starts(static_cast<size_t>(n));
  for (size_t i = 0; i < 31; ++i) {
    const double until = i < 30 ? times[i + 1] : 1e9;
    shown.push_back(std::max(std::min(until, last_start) - times[i], 0.0));
  }
  for (int i = 0; i < kDraws; ++i)
    ++starts.at(static_cast<size_t>(sample_frames({.frames = n, .times = times}, options, &random)[0]));
  while (shown.back() == 0) {
    CHECK(starts.back() == 0);
    shown.pop_back(), starts.pop_back();
  }
  CHECK(as_expected(starts, shown));
}

TEST_CASE("sampling: uniform draws are spread evenly in their segments") {
  const ClipOptions options = options_for(Sampling::uniform, 7);
  Random random(12);
  std::vector<std::vector<double>> counts(7, std::vector<double>(11));
  for (int i = 0; i < 4000; ++i) {
    const Frames frames = sample_frames(77, options, &random);
    for (size_t t = 0; t < 7; ++t) ++counts[t].at(static_cast<size_t>(frames[t]) - 11 * t);
  }
  for (const auto& segment : counts) CHECK(as_expected(segment, std::vector<double>(11, 1.0)));
}

TEST_CASE("sampling: several clips of a video interleave, or lie from its first frame to its last") {
  ClipOptions options = options_for(Sampling::uniform, 8);
  options.clips = 4;
  for (const int64_t n : {8, 53, 100, 1000}) {
    const Frames all = sample_frames(n, options_for(Sampling::uniform, 32), nullptr);
    for (int clip = 0; clip < 4; ++clip) {
      const Frames frames = sample_frames({.frames = n}, options, nullptr, clip);
      for (size_t t = 0; t < 8; ++t) CHECK(frames[t] == all[4 * t + static_cast<size_t>(clip)]);
    }
  }
  options = options_for(Sampling::dense, 6, 3);  // span 16
  for (const int clips : {2, 3, 7})
    for (const int64_t n : {16, 17, 40, 1001}) {
      options.clips = clips;
      for (int clip = 0; clip < clips; ++clip) {
        const Frames frames = sample_frames({.frames = n}, options, nullptr, clip);
        CHECK(frames.front() == clip * (n - 16) / (clips - 1));
        CHECK(frames.back() == frames.front() + 15);
      }
      CHECK(sample_frames({.frames = n}, options, nullptr, clips - 1).back() == n - 1);
    }
}

TEST_CASE("sampling: jitter keeps to the video, to each pass of a loop, and leaves padding alone") {
  Random random(3);
  for (const ShortVideo policy : {ShortVideo::loop, ShortVideo::pad, ShortVideo::last, ShortVideo::repeat}) {
    ClipOptions options = options_for(Sampling::dense, 12, 1, policy);
    const Frames calm = sample_frames(5, options, nullptr);
    options.temporal_jitter = 2;
    std::set<Frames> seen;
    for (int i = 0; i < 200; ++i) {
      const Frames frames = sample_frames(5, options, &random);
      seen.insert(frames);
      for (size_t t = 0; t < 12; ++t) {
        CHECK((frames[t] == kPadding) == (calm[t] == kPadding));
        CHECK((frames[t] >= (calm[t] == kPadding ? kPadding : 0) && frames[t] < 5));
        if (policy != ShortVideo::repeat) CHECK(std::abs(frames[t] - calm[t]) <= 2);
        if (t % 5 != 0 && calm[t] != kPadding && policy != ShortVideo::repeat) CHECK(frames[t] >= frames[t - 1]);
      }
    }
    CHECK(seen.size() > 50);
  }
}

TEST_CASE("sampling: windows cover a video, `hop` apart, to its last frame") {
  for (const Sampling sampling : {Sampling::dense, Sampling::uniform})
    for (const int stride : {1, 2})
      for (int64_t n = 1; n <= 40; ++n)
        for (const int64_t hop : {1, 3, 5, 9}) {
          const ClipOptions options = options_for(sampling, kT, stride);
          const int64_t spare = n - ((kT - 1) * stride + 1);
          const std::vector<ClipPlan> windows = plan_windows({.frames = n, .size = {64, 48}}, options, hop);
          if (spare <= 0) {
            REQUIRE(windows.size() == 1);
            const bool usual = spare == 0 || sampling == Sampling::dense;
            const Frames expected = sample_frames(
                n, options_for(Sampling::dense, kT, stride, usual ? ShortVideo::last : ShortVideo::repeat), nullptr);
            CHECK(windows[0].frames == expected);
            continue;
          }
          const int64_t apart = hop * stride;
          REQUIRE(std::ssize(windows) == (spare + apart - 1) / apart + 1);
          for (size_t i = 0; i < windows.size(); ++i)
            for (size_t t = 0; t < kT; ++t)
              CHECK(windows[i].frames[t] ==
                    std::min(static_cast<int64_t>(i) * apart, spare) + static_cast<int64_t>(t) * stride);
        }
  const std::vector<double> times = unsteady(50, 2);
  ClipOptions options = options_for(Sampling::dense, 4, 1);
  options.fps = 8;
  const auto windows = plan_windows({.frames = 50, .size = {64, 48}, .times = times}, options, 4);
  const double spare = times.back() - 3 / 8.0;
  REQUIRE(windows.size() == static_cast<size_t>(std::ceil(spare / 0.5)) + 1);
  for (size_t i = 0; i < windows.size(); ++i)
    for (size_t t = 0; t < 4; ++t)
      CHECK(windows[i].frames[t] ==
            shown_at(times, std::min(static_cast<double>(i) / 2, spare) + static_cast<double>(t) / 8));
  options.short_videos = ShortVideo::skip;
  CHECK(error_code(
            [&] {
              plan_windows({.frames = 2, .size = {8, 8}, .times = std::span(times).first(2)}, options, 1);
            },
            "--short") == exit_code::kData);
}
