#include "io/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace engine {
namespace {

constexpr double kMaxScale = 4, kMaxRatio = 16;
constexpr int kMaxEnlargement = 16;  // of a resized side over the wanted one
constexpr int kAttempts = 10;        // at a rectangle that fits
constexpr double kMinErased = 0.02, kMaxErased = 0.33, kMinErasedRatio = 0.3, kMaxErasedRatio = 3.3;
constexpr double kMiddle = 127.5;

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw Error(concat("clip: ", name, " is ", value, "; it must be from ", low, " to ", high), exit_code::kUsage);
}

int covering_side(int side, double factor, int wanted) {
  const double resized = std::min(std::round(side * factor), static_cast<double>(wanted) * kMaxEnlargement);
  return std::max(wanted, static_cast<int>(resized));
}

FrameSize covering(FrameSize source, FrameSize size, double scale) {
  const double factor = scale * std::max(static_cast<double>(size.width) / source.width,
                                         static_cast<double>(size.height) / source.height);
  return {covering_side(source.width, factor, size.width), covering_side(source.height, factor, size.height)};
}

// The part of a picture resized to `resized` that `size` pixels from (x, y) on show.
std::array<double, 4> window_of(FrameSize resized, FrameSize size, int x, int y) {
  const double width = resized.width, height = resized.height;
  return {x / width, y / height, size.width / width, size.height / height};
}

int below(Random& random, int bound) { return static_cast<int>(random.below(static_cast<uint64_t>(bound))); }

struct Rectangle {
  int x = 0, y = 0, width = 0, height = 0;
};

// A rectangle in `all` whose area and width : height are drawn; empty when none of the attempts fits. `may_fill`: it
// may be as wide or as high as `all`.
Rectangle draw_rectangle(FrameSize all, double min_area, double max_area, double min_ratio, double max_ratio,
                         bool may_fill, Random& random) {
  const int most_wide = all.width - !may_fill, most_high = all.height - !may_fill;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const double area = random.uniform(min_area, max_area) * all.width * all.height;
    const double ratio = std::exp(random.uniform(std::log(min_ratio), std::log(max_ratio)));
    const double width = std::round(std::sqrt(area * ratio)), height = std::round(std::sqrt(area / ratio));
    if (width < 1 || width > most_wide || height < 1 || height > most_high) continue;
    Rectangle drawn{0, 0, static_cast<int>(width), static_cast<int>(height)};
    drawn.y = below(random, all.height - drawn.height + 1);
    drawn.x = below(random, all.width - drawn.width + 1);
    return drawn;
  }
  return {};
}

// At the centre, as large as the ratio lets it be.
Rectangle central_rectangle(FrameSize all, double min_ratio, double max_ratio) {
  Rectangle found{0, 0, all.width, all.height};
  const double ratio = static_cast<double>(all.width) / all.height;
  if (ratio < min_ratio) found.height = std::max(1, static_cast<int>(std::round(all.width / min_ratio)));
  if (ratio > max_ratio) found.width = std::max(1, static_cast<int>(std::round(all.height * max_ratio)));
  found.x = (all.width - found.width) / 2;
  found.y = (all.height - found.height) / 2;
  return found;
}

void draw_window(FrameSize source, FrameSize size, const AugmentOptions& options, Random* random, Augmentation& drawn) {
  if (random && options.resized_crop) {
    Rectangle part =
        draw_rectangle(source, options.min_area, options.max_area, options.min_ratio, options.max_ratio, true, *random);
    if (part.width == 0) part = central_rectangle(source, options.min_ratio, options.max_ratio);
    drawn.cut = {part.x, part.y, part.width, part.height};
    drawn.window = window_of(source, {part.width, part.height}, part.x, part.y);
    return;
  }
  const FrameSize resized =
      covering(source, size, random ? random->uniform(options.min_scale, options.max_scale) : 1.0);
  const int spare_x = resized.width - size.width, spare_y = resized.height - size.height;
  const bool anywhere = random && options.random_crop;
  const int x = anywhere ? below(*random, spare_x + 1) : spare_x / 2;
  drawn.window = window_of(resized, size, x, anywhere ? below(*random, spare_y + 1) : spare_y / 2);
}

// The matrix of a function of colours that is one.
template <class F>
std::array<double, 12> matrix_of(const F& f) {
  const std::array<double, 3> black = f({0, 0, 0});
  std::array<double, 12> matrix{};
  for (size_t i = 0; i < 3; ++i) {
    std::array<double, 3> one{};
    one[i] = 1;
    one = f(one);
    for (size_t c = 0; c < 3; ++c) matrix[4 * c + i] = one[c] - black[c];
    matrix[4 * i + 3] = black[i];
  }
  return matrix;
}

std::array<double, 12> colour_of(const Augmentation& drawn) {
  constexpr double kRed = 0.299, kGreen = 0.587, kBlue = 0.114;  // BT.601's
  const double angle = 2 * std::numbers::pi * drawn.hue, cosine = std::cos(angle), sine = std::sin(angle);
  return matrix_of([&](std::array<double, 3> rgb) {
    for (double& value : rgb) value = (value * drawn.brightness - kMiddle) * drawn.contrast + kMiddle;
    const double grey = kRed * rgb[0] + kGreen * rgb[1] + kBlue * rgb[2];
    // U and V of analogue television span the circle of colours.
    const double u = 0.492 * drawn.saturation * (rgb[2] - grey), v = 0.877 * drawn.saturation * (rgb[0] - grey);
    const double red = (sine * u + cosine * v) / 0.877, blue = (cosine * u - sine * v) / 0.492;
    return std::array{grey + red, grey - (kRed * red + kBlue * blue) / kGreen, grey + blue};
  });
}

}  // namespace

void check_options(const AugmentOptions& options) {
  check_range("max_scale", options.max_scale, 1, kMaxScale);
  check_range("min_scale", options.min_scale, 1, options.max_scale);
  check_range("max_area", options.max_area, 0.01, 1);
  check_range("min_area", options.min_area, 0.01, options.max_area);
  check_range("max_ratio", options.max_ratio, 1 / kMaxRatio, kMaxRatio);
  check_range("min_ratio", options.min_ratio, 1 / kMaxRatio, options.max_ratio);
  check_range("rotation", options.rotation, 0, 180);
  check_range("flip_probability", options.flip_probability, 0, 1);
  check_range("brightness", options.brightness, 0, 1);
  check_range("contrast", options.contrast, 0, 1);
  check_range("saturation", options.saturation, 0, 1);
  check_range("hue", options.hue, 0, 0.5);
  check_range("erase_probability", options.erase_probability, 0, 1);
  for (const double value : options.fill) check_range("fill", value, 0, 255);
}

Augmentation draw_augmentation(FrameSize source, FrameSize size, const AugmentOptions& options, Random* random) {
  Augmentation drawn;
  draw_window(source, size, options, random, drawn);
  if (!random) return drawn;
  const auto factor = [&](double spread) { return random->uniform(std::max(0.0, 1 - spread), 1 + spread); };
  drawn.angle = random->uniform(-options.rotation, options.rotation);
  drawn.brightness = factor(options.brightness);
  drawn.contrast = factor(options.contrast);
  drawn.saturation = factor(options.saturation);
  drawn.hue = random->uniform(-options.hue, options.hue);
  if (random->chance(options.erase_probability)) {
    const Rectangle part =
        draw_rectangle(size, kMinErased, kMaxErased, 1 / kMaxErasedRatio, 1 / kMinErasedRatio, false, *random);
    drawn.erased = {part.x, part.y, part.x + part.width, part.y + part.height};
  }
  drawn.flip = random->chance(options.flip_probability);
  return drawn;
}

FrameView view_of(const Augmentation& drawn, FrameSize source, FrameSize size, const AugmentOptions& options) {
  const auto [left, top, width, height] = drawn.window;
  // In fractions of the picture, first of the picture as it is turned. A pixel's own shape comes in where it is turned.
  const double across = (drawn.flip ? -width : width) / size.width, down = height / size.height;
  const double start = (drawn.flip ? left + width : left) - 0.5, above = top - 0.5;
  const double angle = drawn.angle * std::numbers::pi / 180, cosine = std::cos(angle), sine = std::sin(angle);
  const double shape = static_cast<double>(source.height) / source.width;
  FrameView view{.size = size};
  view.affine = {cosine * across,       -sine * shape * down, cosine * start - sine * shape * above + 0.5,
                 sine / shape * across, cosine * down,        sine / shape * start + cosine * above + 0.5};
  view.colour = colour_of(drawn);
  view.fill = options.fill;
  view.fill_border = drawn.angle != 0;
  view.erased = drawn.erased;
  view.rgb_first = options.rgb_first;
  if (drawn.angle == 0) view.cut = drawn.cut;
  return view;
}

std::vector<FrameView> test_views(FrameSize source, FrameSize size, TestCrops crops, const AugmentOptions& options) {
  const FrameSize resized = covering(source, size, 1);
  const int right = resized.width - size.width, bottom = resized.height - size.height;
  std::vector<std::array<int, 2>> places = {{right / 2, bottom / 2}};
  if (crops == TestCrops::three) places = {{0, 0}, places[0], {right, bottom}};
  if (crops == TestCrops::three && right >= bottom) places[0][1] = places[2][1] = bottom / 2;
  if (crops == TestCrops::three && right < bottom) places[0][0] = places[2][0] = right / 2;
  if (crops == TestCrops::ten) places = {{0, 0}, {right, 0}, {0, bottom}, {right, bottom}, places[0]};
  std::vector<FrameView> views;
  for (const bool flip : {false, true}) {
    if (flip && crops != TestCrops::ten) break;
    for (const auto& [x, y] : places) {
      Augmentation each;
      each.window = window_of(resized, size, x, y);
      each.flip = flip;
      views.push_back(view_of(each, source, size, options));
    }
  }
  return views;
}

}  // namespace engine
