// Labelled synthetic clips, drawn from numbers alone: data that is always at hand and whose answer is known.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace engine {

// scenes: any single frame tells the class, through its shapes and patterns; colour, place, size and angle are random.
// motion: no single frame tells the class. An object moves on a torus (what leaves on one side comes back on the other;
//   so do angle and size), or turns and goes round the middle of the picture; its start is uniform in place, size and
//   angle, hence at every frame it is uniform in all of them in every class, and everything else is drawn alike for all
//   classes.
// speed: an object as in motion moves straight, in a random direction and at a random speed, which is the target.
// pairs: patterns of the classes of scenes, two different ones in every clip: that of the label and another one.
enum class SyntheticKind { scenes, motion, speed, pairs };

// The names of a kind's classes, in alphabetical order; a label is an index into them. speed has one, and pairs those
// of scenes.
std::span<const std::string_view> synthetic_classes(SyntheticKind kind);

enum class SyntheticSet : uint8_t { train, test };

// Two clips whose identities differ in anything share no random draw.
struct SyntheticId {
  SyntheticKind kind = SyntheticKind::scenes;
  int label = 0;
  uint64_t seed = 0;
  SyntheticSet set = SyntheticSet::train;
  uint32_t number = 0;
};

// A pure function of identity, size and frame number: the same bytes in every thread and run on one machine type.
class SyntheticClip {
 public:
  // Width and height in pixels, at least 16 each; kUsage otherwise, or where the label does not exist.
  SyntheticClip(const SyntheticId& id, int width, int height);
  ~SyntheticClip();

  // Frame 0, 1, ... (there is no last one): height x width x 3 bytes, RGB, row-major.
  void draw(int frame, std::span<uint8_t> rgb) const;

 private:
  struct Stage;
  std::unique_ptr<const Stage> stage_;
};

// speed: how far the object moves from one frame to the next, in widths of the picture: uniform in 0.01 .. 0.07.
double synthetic_speed(const SyntheticId& id);
// pairs: the two classes that a clip shows, the smaller one first.
std::array<int, 2> synthetic_pair(const SyntheticId& id);

// Where the moving object of a `motion` clip is. All in [0, 1), each taken modulo 1: x and y as parts of width and
// height, size from the smallest to the largest radius (logarithmic), angle in turns, clockwise.
struct SyntheticPose {
  double x = 0, y = 0, size = 0, angle = 0;
};
// Also of a `speed` clip.
SyntheticPose synthetic_pose(const SyntheticId& id, int width, int height, int frame);

}  // namespace engine
