#include "train/film_strip.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>

#include "engine/ops.h"
#include "io/image_writer.h"
#include "train/heat_strip.h"

namespace engine {
namespace {

constexpr int kGap = 2;

// Means over the pixels that fall into one: rows and columns `first` .. `last` of the frame.
struct Cells {
  int64_t first, last;
};
Cells cells(int place, int size, int64_t source) {
  const int64_t first = place * source / size;
  return {first, std::max(first + 1, (place + 1) * source / size)};
}

// The frames that a strip shows, (shown, h, w, 3).
Tensor small_frames(const Tensor& clip, const StripOptions& options) {
  ENGINE_CHECK(clip.dtype() == DType::u8 && clip.shape().rank() == 4 && clip.size(3) == 3,
               "film_strip: a clip is u8 (T, H, W, 3), not ", clip.shape());
  const int64_t height = clip.size(1), width = clip.size(2);
  const double scale = std::min(1.0, static_cast<double>(options.side) / static_cast<double>(std::max(height, width)));
  const auto scaled = [&](int64_t side) {
    return std::max(1, static_cast<int>(std::lround(static_cast<double>(side) * scale)));
  };
  const FrameSize size{scaled(width), scaled(height)};
  const std::vector<int64_t> shown = strip_frames(clip.size(0), options);
  const Tensor frames = Tensor::empty({std::ssize(shown), size.height, size.width, 3}, DType::u8);
  const std::span<const uint8_t> pixels = clip.values<uint8_t>();
  auto to = frames.values<uint8_t>().begin();
  for (const int64_t t : shown)
    for (int y = 0; y < size.height; ++y)
      for (int x = 0; x < size.width; ++x) {
        const Cells rows = cells(y, size.height, height), columns = cells(x, size.width, width);
        std::array<double, 3> color{};
        for (int64_t row = rows.first; row < rows.last; ++row)
          for (int64_t column = columns.first; column < columns.last; ++column)
            for (size_t c = 0; c < 3; ++c)
              color[c] += pixels[static_cast<size_t>(((t * height + row) * width + column) * 3) + c];
        const auto parts = static_cast<double>((rows.last - rows.first) * (columns.last - columns.first));
        for (const double each : color) *to++ = static_cast<uint8_t>(std::lround(each / parts));
      }
  return frames;
}

RgbImage strip_of(const Tensor& frames) {
  const auto count = static_cast<int>(frames.size(0)), height = static_cast<int>(frames.size(1));
  const int width = static_cast<int>(frames.size(2));
  RgbImage picture{.size = {.width = count * (width + kGap) - kGap, .height = height}};
  picture.rgb.assign(picture.size.bytes(), 255);
  auto from = frames.values<uint8_t>().begin();
  const auto row_bytes = static_cast<size_t>(3 * width);
  for (int i = 0; i < count; ++i)
    for (int y = 0; y < height; ++y, from += static_cast<std::ptrdiff_t>(row_bytes))
      std::copy_n(from, row_bytes,
                  picture.rgb.begin() + 3 * (static_cast<std::ptrdiff_t>(y) * picture.size.width + i * (width + kGap)));
  return picture;
}

}  // namespace

std::vector<int64_t> strip_frames(int64_t frames, const StripOptions& options) {
  const int64_t count = std::min(frames, options.frames);
  std::vector<int64_t> shown;
  for (int64_t i = 0; i < count; ++i) shown.push_back(count == 1 ? frames / 2 : i * (frames - 1) / (count - 1));
  return shown;
}

RgbImage film_strip(const Tensor& clip, const StripOptions& options) { return strip_of(small_frames(clip, options)); }

RgbImage film_strip(const Tensor& clip, const Tensor& heat, const StripOptions& options) {
  std::vector<Tensor> maps;
  for (const int64_t t : strip_frames(clip.size(0), options)) {
    const int64_t map = std::clamp<int64_t>(t - (clip.size(0) - heat.size(0)), 0, heat.size(0) - 1);
    maps.push_back(heat.slice(map, map + 1));
  }
  return strip_of(heat_over(small_frames(clip, options), concat(maps, 0)));
}

std::string save_picture(const std::string& path, const RgbImage& picture) {
  write_image(path, picture.rgb, picture.size);
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace engine
