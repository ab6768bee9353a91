// What is drawn for one clip, the same for all its frames: which part is seen, how it is turned and mirrored, its
// colours, what is erased. Pure functions of their arguments.
#pragma once

#include <optional>
#include <vector>

#include "engine/random.h"
#include "io/frame_source.h"

namespace engine {

struct AugmentOptions {
  // Which part is seen. A clip is resized until it covers the size wanted, enlarged by a factor drawn from [min_scale,
  // max_scale], and cut to that size at a random place, or at the centre. Or, with `resized_crop`, a part whose area is
  // drawn from [min_area, max_area] of the picture's and whose width : height is drawn, evenly in its logarithm, from
  // [min_ratio, max_ratio], is resized to the size wanted (torchvision's RandomResizedCrop).
  double min_scale = 1, max_scale = 1;
  bool random_crop = false;
  bool resized_crop = false;
  double min_area = 0.08, max_area = 1, min_ratio = 3.0 / 4, max_ratio = 4.0 / 3;
  double rotation = 0;  // degrees: turned about the picture's centre by an angle drawn from [-rotation, rotation]
  double flip_probability = 0;  // mirrored left to right; 0.5 is usual where left and right mean the same
  // Factors drawn from [max(0, 1 - x), 1 + x], and a part of the circle of colours from [-hue, hue], hue <= 1/2. In
  // this order: brightness scales, contrast scales differences from mid-grey, saturation those from the pixel's own
  // grey (0.299 R + 0.587 G + 0.114 B), hue turns those.
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  // A rectangle of 0.02 to 0.33 of the clip's area, height : width from 0.3 to 3.3 (torchvision's RandomErasing).
  double erase_probability = 0;
  std::array<double, 3> fill{};  // R, G, B of 0..255, of what is erased, and of what a turned picture does not cover
  bool rgb_first = false;        // FrameView::rgb_first
};

// Throws kUsage when a number is outside its range.
void check_options(const AugmentOptions& options);

struct Augmentation {
  std::array<double, 4> window{0, 0, 1, 1};  // left, top, width, height of the part that is seen, of a picture of 1 x 1
  std::array<int, 4> cut{};                  // the same in pixels of the picture, of a resized crop
  double angle = 0;                          // degrees counterclockwise
  bool flip = false;
  double brightness = 1, contrast = 1, saturation = 1, hue = 0;
  std::array<int, 4> erased{};  // left, top, right, bottom in the result
};

// With `random` null nothing is drawn: scale 1, the centre. `source` is the size of the picture as shown. A picture
// over 16 times as long as the size wanted is squeezed.
Augmentation draw_augmentation(FrameSize source, FrameSize size, const AugmentOptions& options, Random* random);

FrameView view_of(const Augmentation& drawn, FrameSize source, FrameSize size, const AugmentOptions& options);

// For testing, of clips resized until they cover `size`: three: the ends and the middle of the longer side. ten: the
// four corners and the centre, then the same mirrored. Of `options` only what says how pictures are read: fill and
// rgb_first.
enum class TestCrops { centre, three, ten };
std::vector<FrameView> test_views(FrameSize source, FrameSize size, TestCrops crops,
                                  const AugmentOptions& options = {});
constexpr int count_of(TestCrops crops) { return crops == TestCrops::centre ? 1 : crops == TestCrops::three ? 3 : 10; }

}  // namespace engine
