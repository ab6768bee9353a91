// A small picture to draw on, and the parts that every synthetic clip shares: colours, backdrop, clutter, grain.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/random.h"
#include "io/figures.h"

namespace engine {

// Display values (sRGB), 0 .. 1.
struct Color {
  float r = 0, g = 0, b = 0;
};
Color mix(Color from, Color to, float part);
float luma(Color color);  // BT.601 weights
Color random_color(Random& random);
// With a luma uniform in low .. high.
Color random_color(Random& random, float low, float high);

// Where a figure lies: centre and radius in pixels (pixel centres at .5), angle in radians, clockwise on the screen.
struct Placement {
  float x = 0, y = 0, radius = 1, angle = 0;
  bool mirrored = false;
};

// What a brush leaves on a pixel.
struct Ink {
  Color color;
  float opacity = 0;
};

// Pixels wrap around: what leaves on the right comes back on the left, and what leaves at the bottom at the top.
class Canvas {
 public:
  Canvas(int width, int height) : width_(width), height_(height), pixels_(static_cast<size_t>(width * height)) {}

  int width() const { return width_; }
  int height() const { return height_; }
  Color& at(int x, int y) { return pixels_[static_cast<size_t>(y * width_ + x)]; }
  std::span<const Color> pixels() const { return pixels_; }

  // Blends brush(u, v) -> Ink over the square of half side placement.radius + 1 px around the placement; (u, v) are the
  // figure's own coordinates, in which its radius is 1.
  template <class Brush>
  void paint(const Placement& placement, const Brush& brush);
  // The figure with a smooth edge.
  void draw(FigureKind figure, const Placement& placement, Color color, float opacity = 1);
  // The figure's soft shadow, thrown right and down.
  void draw_shadow(FigureKind figure, const Placement& placement);

 private:
  int width_, height_;
  std::vector<Color> pixels_;
};

// How much of a pixel is covered where the outline is `distance` px away, negative inside.
inline float coverage(float distance) { return std::clamp(0.5f - distance, 0.0f, 1.0f); }

// A colour gradient with a soft texture. Its luma stays within 0.12 of `middle`, which is in 0.25 .. 0.75.
Canvas random_backdrop(Random& random, int width, int height, float middle);
// Thin strokes and soft spots that mean nothing: `count` of each.
void scatter_clutter(Canvas& canvas, Random& random, int count);
// Small letters, each kTextAdvance pixels wide and kTextHeight high, from the left upper corner (x, y) on; what lies
// outside is cut. Characters that are not ASCII become question marks.
inline constexpr int kTextAdvance = 6, kTextHeight = 8;
void draw_text(Canvas& canvas, int x, int y, std::string_view text, Color color);
// What a camera adds: brightness `gain` and noise of the given standard deviation (of 255), as bytes, row-major RGB.
void develop(const Canvas& canvas, float gain, float noise, Random& random, std::span<uint8_t> rgb);

template <class Brush>
void Canvas::paint(const Placement& placement, const Brush& brush) {
  const float reach = placement.radius + 1;
  const float cosine = std::cos(placement.angle) / placement.radius,
              sine = std::sin(placement.angle) / placement.radius;
  const auto first = [&](float centre) { return static_cast<int>(std::floor(centre - reach)); };
  const auto last = [&](float centre) { return static_cast<int>(std::ceil(centre + reach)); };
  const auto wrapped = [](int i, int size) { return (i % size + size) % size; };
  for (int y = first(placement.y); y < last(placement.y); ++y) {
    const int row = wrapped(y, height_);
    int column = wrapped(first(placement.x), width_);
    for (int x = first(placement.x); x < last(placement.x); ++x) {
      const float dx = static_cast<float>(x) + 0.5f - placement.x, dy = static_cast<float>(y) + 0.5f - placement.y;
      const float u = dx * cosine + dy * sine, v = dy * cosine - dx * sine;
      const Ink ink = brush(placement.mirrored ? -u : u, v);
      Color& pixel = at(column, row);
      if (ink.opacity > 0) pixel = mix(pixel, ink.color, ink.opacity);
      column = column + 1 == width_ ? 0 : column + 1;
    }
  }
}

}  // namespace engine
