#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <set>
#include <string>
#include <vector>

#include "engine/random.h"
#include "io/synthetic.h"

using namespace engine;

namespace {

constexpr int kSide = 64;
constexpr int kClasses = 10;
constexpr SyntheticKind kKinds[] = {SyntheticKind::scenes, SyntheticKind::motion};

std::vector<uint8_t> frame_of(const SyntheticId& id, int frame, int width = kSide, int height = kSide) {
  std::vector<uint8_t> rgb(static_cast<size_t>(width * height * 3));
  SyntheticClip(id, width, height).draw(frame, rgb);
  return rgb;
}

SyntheticId motion_id(int label, int number) {
  return {SyntheticKind::motion, label, 11, SyntheticSet::train, static_cast<uint32_t>(number)};
}

int label_of(SyntheticKind kind, std::string_view name) {
  const auto names = synthetic_classes(kind);
  const auto found = std::find(names.begin(), names.end(), name);
  REQUIRE(found != names.end());
  return static_cast<int>(found - names.begin());
}

// Kolmogorov-Smirnov distance of draws from the uniform distribution on [0, 1).
double distance_to_uniform(std::vector<double> draws) {
  std::sort(draws.begin(), draws.end());
  const auto n = static_cast<double>(draws.size());
  double largest = 0;
  for (size_t i = 0; i < draws.size(); ++i) {
    const auto rank = static_cast<double>(i);
    largest = std::max({largest, draws[i] - rank / n, (rank + 1) / n - draws[i]});
  }
  return largest;
}

double ks_distance(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double largest = 0;
  for (const double x : a) {
    const auto below = [x](const std::vector<double>& v) {
      return static_cast<double>(std::upper_bound(v.begin(), v.end(), x) - v.begin()) / static_cast<double>(v.size());
    };
    largest = std::max(largest, std::abs(below(a) - below(b)));
  }
  return largest;
}

// The way from one coordinate to the next on a circle of length 1, -0.5 .. 0.5.
double step(double from, double to) { return to - from - std::round(to - from); }

using Coordinate = double SyntheticPose::*;

std::vector<double> steps(std::string_view name, Coordinate coordinate, int clips, int frame) {
  const int label = label_of(SyntheticKind::motion, name);
  std::vector<double> all;
  for (int i = 0; i < clips; ++i) {
    const SyntheticPose a = synthetic_pose(motion_id(label, i), kSide, kSide, frame);
    const SyntheticPose b = synthetic_pose(motion_id(label, i), kSide, kSide, frame + 1);
    all.push_back(step(a.*coordinate, b.*coordinate));
  }
  return all;
}

double luma_at(const std::vector<uint8_t>& rgb, int x, int y) {
  const size_t i = static_cast<size_t>((y * kSide + x) * 3);
  return 0.299 * rgb[i] + 0.587 * rgb[i + 1] + 0.114 * rgb[i + 2];
}

// Sum of |luma(p) - luma(p + (dx, dy))| over the frame.
double change_along(const std::vector<uint8_t>& rgb, int dx, int dy) {
  double sum = 0;
  for (int y = 4; y < kSide - 4; ++y) {
    for (int x = 4; x < kSide - 4; ++x) sum += std::abs(luma_at(rgb, x + dx, y + dy) - luma_at(rgb, x, y));
  }
  return sum;
}

// Mean over the clips of a class of how much more a frame changes along one direction than along another.
double contrast_of_directions(std::string_view name, std::array<int, 2> along, std::array<int, 2> against) {
  const int label = label_of(SyntheticKind::scenes, name), clips = 20;
  double sum = 0;
  for (int i = 0; i < clips; ++i) {
    const auto rgb = frame_of({SyntheticKind::scenes, label, 3, SyntheticSet::train, static_cast<uint32_t>(i)}, 0);
    sum += std::log(change_along(rgb, along[0], along[1]) / change_along(rgb, against[0], against[1]));
  }
  return sum / clips;
}

struct Moments {
  double sum = 0, squares = 0, count = 0;
  void add(double x) {
    sum += x;
    squares += x * x;
    ++count;
  }
  double mean() const { return sum / count; }
  double error() const { return std::sqrt((squares / count - mean() * mean()) / (count - 1)); }  // of the mean
};

constexpr size_t kChannelMeans = 3, kAllNumbers = 3 + 3 + 16;

// Numbers that describe one frame: the mean of each channel, the spread of luma, its changes along x and y, and its
// means on a 4x4 grid.
std::vector<double> summary(const std::vector<uint8_t>& rgb) {
  constexpr int kCells = 4, kCell = kSide / kCells;
  std::vector<double> numbers(kAllNumbers);
  double sum = 0, squares = 0;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const double luma = luma_at(rgb, x, y);
      sum += luma;
      squares += luma * luma;
      for (size_t c = 0; c < 3; ++c) numbers[c] += rgb[static_cast<size_t>((y * kSide + x) * 3) + c];
      numbers[6 + static_cast<size_t>(y / kCell * kCells + x / kCell)] += luma;
    }
  }
  numbers[3] = std::sqrt(kSide * kSide * squares - sum * sum);
  numbers[4] = change_along(rgb, 3, 0);
  numbers[5] = change_along(rgb, 0, 3);
  return numbers;
}

// The largest distance between a class's mean of a number in summary() and the mean of the other classes, in standard
// errors.
double largest_difference(SyntheticKind kind, int frame, int clips, size_t numbers) {
  std::vector<std::vector<Moments>> of_class(kClasses, std::vector<Moments>(numbers)), others = of_class;
  for (int label = 0; label < kClasses; ++label) {
    for (int i = 0; i < clips; ++i) {
      const auto values = summary(frame_of({kind, label, 17, SyntheticSet::train, static_cast<uint32_t>(i)}, frame));
      for (size_t k = 0; k < numbers; ++k) {
        for (size_t c = 0; c < kClasses; ++c) (static_cast<int>(c) == label ? of_class : others)[c][k].add(values[k]);
      }
    }
  }
  double largest = 0;
  for (size_t c = 0; c < kClasses; ++c) {
    for (size_t k = 0; k < numbers; ++k) {
      const Moments &a = of_class[c][k], &b = others[c][k];
      largest = std::max(largest, std::abs(a.mean() - b.mean()) / std::hypot(a.error(), b.error()));
    }
  }
  return largest;
}

}  // namespace

TEST_CASE("scenes and motion have ten classes in alphabetical order") {
  for (const SyntheticKind kind : kKinds) {
    const auto names = synthetic_classes(kind);
    CHECK(names.size() == kClasses);
    CHECK(std::is_sorted(names.begin(), names.end()));
    CHECK(std::set(names.begin(), names.end()).size() == names.size());
  }
}

TEST_CASE("a frame is a pure function of identity, size and number") {
  for (const SyntheticKind kind : kKinds) {
    const SyntheticId id{kind, 4, 9, SyntheticSet::test, 123};
    const SyntheticClip clip(id, kSide, kSide);
    std::vector<uint8_t> later(kSide * kSide * 3), again = later;
    clip.draw(9, later);
    clip.draw(2, again);
    clip.draw(9, again);
    CHECK(later == again);
    CHECK(later == frame_of(id, 9));
    CHECK(later != frame_of(id, 8));
  }
}

TEST_CASE("clips that differ in anything, so also those for training and for testing, are different clips") {
  for (const SyntheticKind kind : kKinds) {
    std::set<std::string> frames;
    size_t clips = 0;
    for (const SyntheticSet set : {SyntheticSet::train, SyntheticSet::test}) {
      for (const int label : {0, 1, 9}) {
        for (const uint64_t seed : {0, 1}) {
          for (uint32_t number = 0; number < 12; ++number, ++clips) {
            const auto rgb = frame_of({kind, label, seed, set, number}, 0);
            frames.emplace(rgb.begin(), rgb.end());
          }
        }
      }
    }
    CHECK(frames.size() == clips);
  }
}

TEST_CASE("every size can be drawn, and nonsense is refused") {
  for (const SyntheticKind kind : kKinds) {
    CHECK_NOTHROW(frame_of({kind, 0, 0, SyntheticSet::train, 0}, 0, 16, 16));
    CHECK_NOTHROW(frame_of({kind, 3, 0, SyntheticSet::train, 0}, 5, 200, 17));
    CHECK_NOTHROW(frame_of({kind, 9, 0, SyntheticSet::train, 0}, 1000, 33, 160));
    CHECK_THROWS_WITH(SyntheticClip({kind, 10, 0, SyntheticSet::train, 0}, 64, 64),
                      "SyntheticClip: no class 10 at 64x64; there are classes 0 to 9, and both sides are at least 16");
    CHECK_THROWS_AS(SyntheticClip({kind, -1, 0, SyntheticSet::train, 0}, 64, 64), Error);
    CHECK_THROWS_AS(SyntheticClip({kind, 0, 0, SyntheticSet::train, 0}, 15, 64), Error);
    std::vector<uint8_t> small(10);
    CHECK_THROWS_AS(SyntheticClip({kind, 0, 0, SyntheticSet::train, 0}, 64, 64).draw(0, small), Error);
  }
}

TEST_CASE("scenes: the class shows in the structure of a single frame") {
  CHECK(contrast_of_directions("bars", {3, 0}, {0, 3}) > 0.4);
  CHECK(contrast_of_directions("blinds", {0, 3}, {3, 0}) > 0.4);
  CHECK(contrast_of_directions("slopes", {2, 2}, {2, -2}) > 0.4);
  CHECK(std::abs(contrast_of_directions("rings", {3, 0}, {0, 3})) < 0.1);
  CHECK(std::abs(contrast_of_directions("rings", {2, 2}, {2, -2})) < 0.1);
}

TEST_CASE("scenes: mean colour does not tell the class") {
  CHECK(largest_difference(SyntheticKind::scenes, 0, 100, kChannelMeans) < 4.5);
}

// The classes share one distribution at every frame, not only over all frames: uniform in place, size and angle. A test
// of the most extreme of 120 distances; for 600 uniform draws one of them exceeds 2.2 / sqrt(600) with a probability of
// 1 in 8000.
TEST_CASE("motion: place, size and angle are uniform in every class at every frame") {
  constexpr int kClips = 600;
  constexpr Coordinate kCoordinates[] = {&SyntheticPose::x, &SyntheticPose::y, &SyntheticPose::size,
                                         &SyntheticPose::angle};
  for (int label = 0; label < kClasses; ++label) {
    for (const int frame : {0, 7, 15}) {
      for (const Coordinate coordinate : kCoordinates) {
        std::vector<double> draws;
        for (int i = 0; i < kClips; ++i)
          draws.push_back(synthetic_pose(motion_id(label, i), 96, 64, frame).*coordinate);
        CHECK(*std::min_element(draws.begin(), draws.end()) >= 0);
        CHECK(*std::max_element(draws.begin(), draws.end()) < 1);
        CHECK(distance_to_uniform(draws) < 2.2 / std::sqrt(kClips));
      }
    }
  }
}

TEST_CASE("motion: the pixels of a single frame have the same statistics in every class") {
  for (const int frame : {0, 11}) CHECK(largest_difference(SyntheticKind::motion, frame, 100, kAllNumbers) < 4.5);
  // The measure sees classes where there are some: patterns differ in the changes of luma.
  CHECK(largest_difference(SyntheticKind::scenes, 0, 100, kAllNumbers) > 10);
}

TEST_CASE("motion: every class moves as its name says, and nothing else changes") {
  constexpr int kClips = 50, kFrame = 6;
  const auto within = [&](std::string_view name, Coordinate coordinate, double low, double high) {
    for (const double way : steps(name, coordinate, kClips, kFrame)) {
      CHECK(way >= low);
      CHECK(way <= high);
    }
  };
  constexpr double kFast = 0.0701, kSlow = 0.039, kSideways = 0.014, kNone = 1e-9;
  within("left", &SyntheticPose::x, -kFast, -kSlow);
  within("left", &SyntheticPose::y, -kSideways, kSideways);
  within("right", &SyntheticPose::x, kSlow, kFast);
  within("up", &SyntheticPose::y, -kFast, -kSlow);
  within("down", &SyntheticPose::y, kSlow, kFast);
  within("clockwise", &SyntheticPose::angle, 0.03, 0.05);
  within("counterclockwise", &SyntheticPose::angle, -0.05, -0.03);
  within("grow", &SyntheticPose::size, 0.04, 0.08);
  within("shrink", &SyntheticPose::size, -0.08, -0.04);
  within("bounce", &SyntheticPose::x, -kNone, kNone);
  for (const std::string_view name : {"left", "right", "up", "down", "bounce", "zigzag", "grow", "shrink"}) {
    within(name, &SyntheticPose::angle, -kNone, kNone);
  }
  for (const std::string_view name :
       {"left", "right", "up", "down", "bounce", "zigzag", "clockwise", "counterclockwise"}) {
    within(name, &SyntheticPose::size, -kNone, kNone);
  }
}

TEST_CASE("motion: clockwise and counterclockwise turn, and go round the middle on square rings") {
  for (const std::string_view name : {"clockwise", "counterclockwise"}) {
    const double way = name == "clockwise" ? 1 : -1;
    for (int i = 0; i < 50; ++i) {
      const SyntheticId id = motion_id(label_of(SyntheticKind::motion, name), i);
      double round = 0;
      for (int frame = 0; frame < 12; ++frame) {
        const SyntheticPose a = synthetic_pose(id, kSide, kSide, frame),
                            b = synthetic_pose(id, kSide, kSide, frame + 1);
        const auto reach = [](const SyntheticPose& pose) {
          return std::max(std::abs(pose.x - 0.5), std::abs(pose.y - 0.5));
        };
        CHECK(reach(a) == doctest::Approx(reach(b)).epsilon(1e-9));
        const double turned = step(std::atan2(a.y - 0.5, a.x - 0.5) / (2 * std::numbers::pi),
                                   std::atan2(b.y - 0.5, b.x - 0.5) / (2 * std::numbers::pi));
        CHECK(turned * way > 0.015);  // y points down; slower at the corners of a ring than at the middles of its sides
        CHECK(turned * way < 0.07);
        round += turned;
      }
      CHECK(round * way > 0.3);
      CHECK(round * way < 0.7);
    }
  }
}

TEST_CASE("motion: bounce and zigzag turn round within a clip") {
  for (const std::string_view name : {"bounce", "zigzag"}) {
    for (int i = 0; i < 50; ++i) {
      int rising = 0, falling = 0;
      for (int frame = 0; frame < 15; ++frame) {
        const SyntheticId id = motion_id(label_of(SyntheticKind::motion, name), i);
        const double way =
            step(synthetic_pose(id, kSide, kSide, frame).y, synthetic_pose(id, kSide, kSide, frame + 1).y);
        ++(way < 0 ? rising : falling);
      }
      CHECK(rising >= 2);
      CHECK(falling >= 2);
    }
  }
}

TEST_CASE("motion: played backwards, left is right, up is down, grow is shrink") {
  constexpr int kClips = 400;
  const double limit = 1.95 * std::sqrt(2.0 / kClips);  // exceeded with a probability of 1 in 1000
  const auto reversed = [&](std::string_view one, std::string_view other, Coordinate coordinate) {
    std::vector<double> backwards = steps(one, coordinate, kClips, 3);
    for (double& way : backwards) way = -way;
    return ks_distance(backwards, steps(other, coordinate, kClips, 12));
  };
  CHECK(reversed("left", "right", &SyntheticPose::x) < limit);
  CHECK(reversed("up", "down", &SyntheticPose::y) < limit);
  CHECK(reversed("grow", "shrink", &SyntheticPose::size) < limit);
  CHECK(reversed("clockwise", "counterclockwise", &SyntheticPose::angle) < limit);
  CHECK(reversed("left", "left", &SyntheticPose::x) > limit);
}

TEST_CASE("speed: the object goes straight, as far as the target says in widths of the picture, in any direction") {
  constexpr int kClips = 300, kWidth = 96, kHeight = 64;
  std::vector<double> speeds, directions;
  for (uint32_t i = 0; i < kClips; ++i) {
    const SyntheticId id{SyntheticKind::speed, 0, 5, SyntheticSet::test, i};
    speeds.push_back((synthetic_speed(id) - 0.01) / 0.06);
    for (int frame = 0; frame < 12; ++frame) {
      const SyntheticPose a = synthetic_pose(id, kWidth, kHeight, frame);
      const SyntheticPose b = synthetic_pose(id, kWidth, kHeight, frame + 1);
      const double dx = step(a.x, b.x), dy = step(a.y, b.y) * kHeight / kWidth;
      CHECK(std::hypot(dx, dy) == doctest::Approx(synthetic_speed(id)).epsilon(1e-9));
      CHECK(a.size == b.size);
      CHECK(a.angle == b.angle);
      const double direction = std::atan2(dy, dx) / 6.283185307179586 + 0.5;
      if (frame == 0) directions.push_back(direction);
      CHECK(direction == doctest::Approx(directions.back()).epsilon(1e-6));
    }
  }
  CHECK(distance_to_uniform(speeds) < 2.2 / std::sqrt(kClips));
  CHECK(distance_to_uniform(directions) < 2.2 / std::sqrt(kClips));
}

TEST_CASE("pairs: the label and any other class, and both show") {
  std::set<std::array<int, 2>> seen;
  double bars = 0, others = 0, bars_clips = 0, others_clips = 0;
  const int upright = label_of(SyntheticKind::pairs, "bars"), level = label_of(SyntheticKind::pairs, "blinds");
  for (int label = 0; label < kClasses; ++label) {
    for (uint32_t i = 0; i < 60; ++i) {
      const SyntheticId id{SyntheticKind::pairs, label, 2, SyntheticSet::train, i};
      const auto [first, second] = synthetic_pair(id);
      CHECK(first < second);
      CHECK((first == label || second == label));
      CHECK(first >= 0);
      CHECK(second < kClasses);
      seen.insert({first, second});
      if (second == level || i >= 20) continue;
      const auto rgb = frame_of(id, 0);
      const double contrast = std::log(change_along(rgb, 3, 0) / change_along(rgb, 0, 3));
      (first == upright ? bars : others) += contrast;
      ++(first == upright ? bars_clips : others_clips);
    }
  }
  CHECK(seen.size() == kClasses * (kClasses - 1) / 2);
  CHECK(bars / bars_clips > others / others_clips + 0.15);
}

TEST_CASE("speed and pairs: clips are pure functions of their identity, and differ") {
  for (const SyntheticKind kind : {SyntheticKind::speed, SyntheticKind::pairs}) {
    const int last = static_cast<int>(synthetic_classes(kind).size()) - 1;
    std::set<std::string> frames;
    for (const SyntheticSet set : {SyntheticSet::train, SyntheticSet::test})
      for (const uint64_t seed : {0, 1})
        for (uint32_t number = 0; number < 6; ++number) {
          const SyntheticId id{kind, last, seed, set, number};
          const auto rgb = frame_of(id, 3, 40, 16);
          CHECK(frames.emplace(rgb.begin(), rgb.end()).second);
          CHECK(rgb != frame_of(id, 4, 40, 16));
          CHECK(frame_of(id, 3, 17, 50) == frame_of(id, 3, 17, 50));
        }
    CHECK_THROWS_AS(SyntheticClip({kind, last + 1, 0, SyntheticSet::train, 0}, 64, 64), Error);
  }
}
