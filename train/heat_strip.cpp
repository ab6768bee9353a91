#include "train/heat_strip.h"

#include <array>

#include "engine/ops.h"

namespace engine {
namespace {

constexpr int kGap = 4, kMostFrames = 16, kLeastSide = 96;
constexpr Color kPaper{0.09f, 0.09f, 0.11f}, kTitle{1, 1, 1};
constexpr std::array<uint32_t, 10> kInferno = {0x000004, 0x1b0c42, 0x4b0c6b, 0x781c6d, 0xa52c60,
                                               0xcf4446, 0xed6925, 0xfb9a06, 0xf7d03c, 0xfcffa4};

Color from_hex(uint32_t hex) {
  const auto part = [hex](int shift) { return static_cast<float>(hex >> shift & 255) / 255.0f; };
  return {part(16), part(8), part(0)};
}

// The value at the middle of pixel `i` of `pixels` between the middles of so many places: two of them, and how much of
// the second.
struct Between {
  size_t first, second;
  double rest;
};
Between between(int64_t i, int64_t pixels, int64_t places) {
  const double at = (static_cast<double>(i) + 0.5) * static_cast<double>(places) / static_cast<double>(pixels) - 0.5;
  const double where = std::clamp(at, 0.0, static_cast<double>(places - 1));
  const auto first = static_cast<size_t>(where);
  return {first, std::min(first + 1, static_cast<size_t>(places - 1)), where - std::floor(where)};
}

uint8_t to_byte(float value) { return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0f, 1.0f) * 255.0f)); }

// Of these frames those with the numbers, each pixel `times` times in both directions.
Tensor enlarged(const Tensor& frames, const std::vector<int64_t>& numbers, int64_t times) {
  const int64_t height = frames.size(1), width = frames.size(2);
  const Tensor result = Tensor::empty({std::ssize(numbers), height * times, width * times, 3}, DType::u8);
  const std::span<const uint8_t> from = frames.values<uint8_t>();
  auto to = result.values<uint8_t>().begin();
  for (const int64_t number : numbers)
    for (int64_t y = 0; y < height * times; ++y)
      for (int64_t x = 0; x < width * times; ++x)
        for (int64_t c = 0; c < 3; ++c)
          *to++ = from[static_cast<size_t>(((number * height + y / times) * width + x / times) * 3 + c)];
  return result;
}

void paste_row(Canvas& canvas, int top, const Tensor& frames) {
  const auto height = static_cast<int>(frames.size(1)), width = static_cast<int>(frames.size(2));
  const std::span<const uint8_t> rgb = frames.values<uint8_t>();
  size_t i = 0;
  for (int t = 0; t < static_cast<int>(frames.size(0)); ++t)
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x, i += 3)
        canvas.at(kGap + t * (width + kGap) + x, top + y) = {static_cast<float>(rgb[i]) / 255.0f,
                                                             static_cast<float>(rgb[i + 1]) / 255.0f,
                                                             static_cast<float>(rgb[i + 2]) / 255.0f};
}

}  // namespace

Color heat_color(double heat) {
  const double at = std::clamp(heat, 0.0, 1.0) * static_cast<double>(kInferno.size() - 1);
  const size_t first = std::min(static_cast<size_t>(at), kInferno.size() - 2);
  return mix(from_hex(kInferno[first]), from_hex(kInferno[first + 1]),
             static_cast<float>(at - static_cast<double>(first)));
}

Tensor heat_over(const Tensor& frames, const Tensor& heat) {
  ENGINE_CHECK(frames.rank() == 4 && heat.rank() == 3 && frames.size(0) == heat.size(0), "heat_over: frames ",
               frames.shape(), " and heat ", heat.shape());
  const Tensor result = Tensor::empty_like(frames);
  const std::span<const uint8_t> from = frames.values<uint8_t>();
  const std::span<const float> values = heat.values<float>();
  const std::span<uint8_t> to = result.values<uint8_t>();
  const auto columns = static_cast<size_t>(heat.size(2)), places = static_cast<size_t>(heat.size(1)) * columns;
  size_t i = 0;
  for (int64_t t = 0; t < frames.size(0); ++t) {
    const std::span<const float> map = values.subspan(static_cast<size_t>(t) * places, places);
    for (int64_t y = 0; y < frames.size(1); ++y) {
      const Between row = between(y, frames.size(1), heat.size(1));
      for (int64_t x = 0; x < frames.size(2); ++x, i += 3) {
        const Between column = between(x, frames.size(2), heat.size(2));
        const auto in_row = [&](size_t r) {
          return (1 - column.rest) * map[r * columns + column.first] + column.rest * map[r * columns + column.second];
        };
        const double here = (1 - row.rest) * in_row(row.first) + row.rest * in_row(row.second);
        const Color pixel{static_cast<float>(from[i]) / 255.0f, static_cast<float>(from[i + 1]) / 255.0f,
                          static_cast<float>(from[i + 2]) / 255.0f};
        const float grey = luma(pixel);
        const Color shown = mix({grey, grey, grey}, heat_color(here), static_cast<float>(0.4 + 0.3 * here));
        to[i] = to_byte(shown.r), to[i + 1] = to_byte(shown.g), to[i + 2] = to_byte(shown.b);
      }
    }
  }
  return result;
}

RgbImage picture_of(const Canvas& canvas) {
  RgbImage strip{.size = {canvas.width(), canvas.height()}};
  for (const Color& pixel : canvas.pixels())
    for (const float value : {pixel.r, pixel.g, pixel.b}) strip.rgb.push_back(to_byte(value));
  return strip;
}

RgbImage heat_strip(const std::string& title, const Tensor& frames, const Tensor& heat) {
  const int64_t shown = std::min<int64_t>(frames.size(0), kMostFrames);
  std::vector<int64_t> numbers;
  std::vector<Tensor> heats;
  for (int64_t i = 0; i < shown; ++i) {
    numbers.push_back((2 * i + 1) * frames.size(0) / (2 * shown));
    heats.push_back(heat.slice(numbers.back(), numbers.back() + 1));
  }
  const int64_t side = std::min(frames.size(1), frames.size(2));
  const Tensor top = enlarged(frames, numbers, (kLeastSide + side - 1) / side);
  const Tensor below = heat_over(top, concat(heats, 0));
  const auto height = static_cast<int>(top.size(1)), width = static_cast<int>(top.size(2));
  const int title_width = static_cast<int>(title.size()) * kTextAdvance + 2 * kGap;
  Canvas canvas(std::max(static_cast<int>(shown) * (width + kGap) + kGap, title_width),
                kTextHeight + 2 * height + 4 * kGap);
  for (int y = 0; y < canvas.height(); ++y)
    for (int x = 0; x < canvas.width(); ++x) canvas.at(x, y) = kPaper;
  draw_text(canvas, kGap, kGap, title, kTitle);
  paste_row(canvas, kTextHeight + 2 * kGap, top);
  paste_row(canvas, kTextHeight + height + 3 * kGap, below);
  return picture_of(canvas);
}

}  // namespace engine
