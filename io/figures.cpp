#include "io/figures.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

namespace engine {

namespace {

struct Point {
  float x, y;
};

constexpr Point kTriangle[] = {{1.0f, 0.0f}, {-0.5f, 0.866f}, {-0.5f, -0.866f}};
constexpr Point kStar[] = {{1.0f, 0.0f},   {0.34f, 0.247f},    {0.309f, 0.951f},  {-0.13f, 0.399f},  {-0.809f, 0.588f},
                           {-0.42f, 0.0f}, {-0.809f, -0.588f}, {-0.13f, -0.399f}, {0.309f, -0.951f}, {0.34f, -0.247f}};
constexpr Point kCross[] = {{0.95f, -0.3f}, {0.95f, 0.3f},   {0.3f, 0.3f},   {0.3f, 0.95f},
                            {-0.3f, 0.95f}, {-0.3f, 0.3f},   {-0.95f, 0.3f}, {-0.95f, -0.3f},
                            {-0.3f, -0.3f}, {-0.3f, -0.95f}, {0.3f, -0.95f}, {0.3f, -0.3f}};
constexpr Point kArrow[] = {{1.0f, 0.0f},    {0.15f, 0.8f},   {0.15f, 0.36f}, {-0.9f, 0.36f},
                            {-0.9f, -0.36f}, {0.15f, -0.36f}, {0.15f, -0.8f}};
constexpr Point kBolt[] = {{0.25f, -0.95f}, {-0.6f, 0.15f}, {-0.05f, 0.15f},
                           {-0.25f, 0.95f}, {0.6f, -0.2f},  {0.1f, -0.2f}};
constexpr Point kBoot[] = {{-0.6f, -0.8f}, {0.0f, -0.8f},  {0.0f, 0.15f},
                           {0.75f, 0.15f}, {0.75f, 0.65f}, {-0.6f, 0.65f}};
constexpr Point kFlag[] = {{-0.7f, -0.7f}, {0.7f, -0.35f}, {-0.4f, 0.1f}, {-0.4f, 0.9f}, {-0.7f, 0.9f}};
constexpr Point kHouse[] = {{0.0f, -0.95f}, {0.8f, -0.15f},   {0.55f, -0.15f}, {0.55f, 0.8f},
                            {-0.55f, 0.8f}, {-0.55f, -0.15f}, {-0.8f, -0.15f}};
constexpr Point kKite[] = {{0.0f, -0.95f}, {0.6f, -0.35f}, {0.0f, 0.95f}, {-0.6f, -0.35f}};
constexpr Point kHeart[] = {{0.0f, 0.9f},     {-0.55f, 0.4f}, {-0.85f, 0.0f}, {-0.9f, -0.35f}, {-0.75f, -0.62f},
                            {-0.48f, -0.72f}, {-0.2f, -0.6f}, {0.0f, -0.35f}, {0.2f, -0.6f},   {0.48f, -0.72f},
                            {0.75f, -0.62f},  {0.9f, -0.35f}, {0.85f, 0.0f},  {0.55f, 0.4f}};

float length(float x, float y) { return std::sqrt(x * x + y * y); }

// Distance to the nearest edge, with the sign from the number of edges that a ray to the right crosses.
float distance_to_polygon(std::span<const Point> corners, float x, float y) {
  float nearest = 1e9f;
  bool inside = false;
  Point a = corners.back();
  for (const Point b : corners) {
    const float ex = b.x - a.x, ey = b.y - a.y, px = x - a.x, py = y - a.y;
    const float along = std::clamp((px * ex + py * ey) / (ex * ex + ey * ey), 0.0f, 1.0f);
    const float dx = px - ex * along, dy = py - ey * along;
    nearest = std::min(nearest, dx * dx + dy * dy);
    if ((a.y > y) != (b.y > y) && x < a.x + ex * (y - a.y) / ey) inside = !inside;
    a = b;
  }
  return inside ? -std::sqrt(nearest) : std::sqrt(nearest);
}

// Slopes of +1 and -1 between -period/4, in the middle of each period, and +period/4.
float triangle_wave(float x, float period) {
  const float turns = x / period;
  return (std::abs(turns - std::floor(turns) - 0.5f) - 0.25f) * period;
}

// Distance to the nearest multiple of `step`.
float to_multiple(float x, float step) { return std::abs(x - std::round(x / step) * step); }

float distance_to_bricks(float x, float y, float height) {
  const bool odd_row = std::fmod(std::abs(std::floor(y / height)), 2.0f) > 0.5f;
  const float to_joint = to_multiple(odd_row ? x + height : x, 2.0f * height);
  return 0.13f * height - std::min(to_multiple(y, height), to_joint);
}

float distance_to_checks(float x, float y, float side) {
  const float a = triangle_wave(x, 2.0f * side), b = triangle_wave(y, 2.0f * side);
  const float nearest = std::min(std::abs(a), std::abs(b));
  return (a < 0) == (b < 0) ? -nearest : nearest;
}

// Diamonds about twice as tall as wide.
float distance_to_diamonds(float x, float y, float side) {
  constexpr float kAcross = 0.88f, kUp = 0.47f;  // the direction that one pair of edges faces
  return distance_to_checks(kAcross * x + kUp * y, kAcross * x - kUp * y, side);
}

float distance_to_waves(float x, float y, float period) {
  const float turn = 2.0f * std::numbers::pi_v<float>;
  return triangle_wave(y + 0.45f * period * std::sin(turn * x / (2.2f * period)), period);
}

// Copies of a figure on a square lattice, which is a little wider than the other patterns to show its shape.
float distance_to_lattice(FigureKind figure, float x, float y, float period) {
  const float step = 1.2f * period, radius = 0.4f * step;
  const auto in_cell = [&](float t) { return (t - std::round(t / step) * step) / radius; };
  return distance_to(figure, in_cell(x), in_cell(y)) * radius;
}

}  // namespace

float distance_to(FigureKind figure, float x, float y) {
  switch (figure) {
    case FigureKind::disc:
      return length(x, y) - 0.9f;
    case FigureKind::ring:
      return std::abs(length(x, y) - 0.7f) - 0.22f;
    case FigureKind::crescent:
      return std::max(length(x, y) - 0.95f, 0.75f - length(x - 0.5f, y));
    case FigureKind::square:
      return std::max(std::abs(x), std::abs(y)) - 0.71f;
    case FigureKind::triangle:
      return distance_to_polygon(kTriangle, x, y);
    case FigureKind::star:
      return distance_to_polygon(kStar, x, y);
    case FigureKind::cross:
      return distance_to_polygon(kCross, x, y);
    case FigureKind::arrow:
      return distance_to_polygon(kArrow, x, y);
    case FigureKind::bolt:
      return distance_to_polygon(kBolt, x, y);
    case FigureKind::boot:
      return distance_to_polygon(kBoot, x, y);
    case FigureKind::flag:
      return distance_to_polygon(kFlag, x, y);
    case FigureKind::heart:
      return distance_to_polygon(kHeart, x, y);
    case FigureKind::house:
      return distance_to_polygon(kHouse, x, y);
    case FigureKind::kite:
      return distance_to_polygon(kKite, x, y);
  }
  return 0;
}

float distance_to(Pattern pattern, float x, float y, float period) {
  switch (pattern) {
    case Pattern::bars:
      return triangle_wave(x, period);
    case Pattern::blinds:
      return triangle_wave(y, period);
    case Pattern::bricks:
      return distance_to_bricks(x, y, period);
    case Pattern::checks:
      return distance_to_checks(x, y, period);
    case Pattern::crosses:
      return distance_to_lattice(FigureKind::cross, x, y, period);
    case Pattern::diamonds:
      return distance_to_diamonds(x, y, 1.2f * period);
    case Pattern::discs:
      return distance_to_lattice(FigureKind::disc, x, y, period);
    case Pattern::rings:
      return distance_to_lattice(FigureKind::ring, x, y, period);
    case Pattern::slopes:
      return triangle_wave((x + y) * (0.5f * std::numbers::sqrt2_v<float>), period);
    case Pattern::waves:
      return distance_to_waves(x, y, period);
    case Pattern::halves:
      return y;
  }
  return 0;
}

}  // namespace engine
