#include "io/canvas.h"

#include <algorithm>
#include <array>
#include <numbers>

namespace engine {

namespace {

constexpr float kTurn = 2.0f * std::numbers::pi_v<float>;

float uniform(Random& random, double low, double high) { return static_cast<float>(random.uniform(low, high)); }

Color scaled(Color color, float factor) { return {color.r * factor, color.g * factor, color.b * factor}; }

// Hue in turns, saturation and value 0 .. 1.
Color from_hsv(float hue, float saturation, float value) {
  const auto channel = [&](float shift) {
    const float sector = std::fmod(shift + hue * 6.0f, 6.0f);
    return value - value * saturation * std::clamp(std::min(sector, 4.0f - sector), 0.0f, 1.0f);
  };
  return {channel(5), channel(3), channel(1)};
}

// The same hue at another luma: towards black or white.
Color with_luma(Color color, float target) {
  const float now = luma(color);
  return target < now ? scaled(color, target / now) : mix(color, {1, 1, 1}, (target - now) / (1.0f - now + 1e-6f));
}

// Smooth noise in -1 .. 1: random values on a lattice of kSide x kSide points over the canvas, blended between.
class Texture {
 public:
  explicit Texture(Random& random) {
    for (float& value : values_) value = uniform(random, -1, 1);
  }
  // u, v in 0 .. 1
  float at(float u, float v) const {
    const float x = u * (kSide - 1), y = v * (kSide - 1);
    const int column = std::min(static_cast<int>(x), kSide - 2), row = std::min(static_cast<int>(y), kSide - 2);
    const float p = eased(x - static_cast<float>(column)), q = eased(y - static_cast<float>(row));
    return std::lerp(std::lerp(value(column, row), value(column + 1, row), p),
                     std::lerp(value(column, row + 1), value(column + 1, row + 1), p), q);
  }

 private:
  static constexpr int kSide = 7;
  static float eased(float t) { return t * t * (3 - 2 * t); }
  float value(int column, int row) const { return values_[static_cast<size_t>(row * kSide + column)]; }
  std::array<float, kSide * kSide> values_;
};

}  // namespace

Color mix(Color from, Color to, float part) {
  return {from.r + (to.r - from.r) * part, from.g + (to.g - from.g) * part, from.b + (to.b - from.b) * part};
}

float luma(Color color) { return 0.299f * color.r + 0.587f * color.g + 0.114f * color.b; }

Color random_color(Random& random) {
  const float hue = uniform(random, 0, 1), saturation = uniform(random, 0.25, 0.9);
  return from_hsv(hue, saturation, uniform(random, 0.45, 1));
}

Color random_color(Random& random, float low, float high) {
  const float target = uniform(random, low, high);
  return with_luma(random_color(random), target);
}

void Canvas::draw(FigureKind figure, const Placement& placement, Color color, float opacity) {
  paint(placement, [&](float u, float v) {
    return Ink{color, opacity * coverage(distance_to(figure, u, v) * placement.radius)};
  });
}

void Canvas::draw_shadow(FigureKind figure, const Placement& placement) {
  Placement below = placement;
  const float throw_by = 0.18f * placement.radius;
  below.x += throw_by;
  below.y += throw_by;
  paint(below, [&](float u, float v) {
    return Ink{{0, 0, 0}, 0.4f * std::clamp(-4.0f * distance_to(figure, u, v), 0.0f, 1.0f)};
  });
}

Canvas random_backdrop(Random& random, int width, int height, float middle) {
  const Color from = with_luma(random_color(random), middle), to = with_luma(random_color(random), middle);
  const float angle = uniform(random, 0, kTurn), slope = uniform(random, 0, 0.07), rough = uniform(random, 0.01, 0.05);
  const Texture texture(random);
  Canvas canvas(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const float u = (static_cast<float>(x) + 0.5f) / static_cast<float>(width);
      const float v = (static_cast<float>(y) + 0.5f) / static_cast<float>(height);
      const float along = std::clamp((u - 0.5f) * std::cos(angle) + (v - 0.5f) * std::sin(angle), -0.5f, 0.5f);
      canvas.at(x, y) = with_luma(mix(from, to, along + 0.5f), middle + 2 * slope * along + rough * texture.at(u, v));
    }
  }
  return canvas;
}

void scatter_clutter(Canvas& canvas, Random& random, int count) {
  const float side = static_cast<float>(std::min(canvas.width(), canvas.height()));
  for (int i = 0; i < count; ++i) {
    Placement place{uniform(random, 0, canvas.width()), uniform(random, 0, canvas.height()),
                    side * uniform(random, 0.05, 0.12), uniform(random, 0, kTurn)};
    const Color color = random_color(random);
    const float opacity = uniform(random, 0.25, 0.6);
    const float half_width = side * uniform(random, 0.006, 0.012);
    canvas.paint(place, [&](float u, float v) {
      const float distance = std::hypot(std::max(std::abs(u) - 0.9f, 0.0f), v) * place.radius - half_width;
      return Ink{color, opacity * coverage(distance)};
    });
  }
  for (int i = 0; i < count; ++i) {
    const Placement place{uniform(random, 0, canvas.width()), uniform(random, 0, canvas.height()),
                          side * uniform(random, 0.06, 0.2)};
    const Color color = random_color(random);
    const float opacity = uniform(random, 0.1, 0.3);
    canvas.paint(place, [&](float u, float v) {
      const float height = std::max(1 - u * u - v * v, 0.0f);
      return Ink{color, opacity * height * height};
    });
  }
}

void develop(const Canvas& canvas, float gain, float noise, Random& random, std::span<uint8_t> rgb) {
  constexpr float kMean = 510, kDeviation = 147.8f;  // of the sum of four random bytes
  size_t i = 0;
  for (const Color& color : canvas.pixels()) {
    const uint32_t bits = random.bits();
    const auto sum = static_cast<float>((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24));
    const float grain = (sum - kMean) / kDeviation * noise;
    for (const float channel : {color.r, color.g, color.b}) {
      rgb[i++] = static_cast<uint8_t>(std::clamp(channel * gain * 255.0f + grain, 0.0f, 255.0f) + 0.5f);
    }
  }
}

}  // namespace engine
