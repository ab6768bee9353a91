#include "io/picture.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/stages.h"

namespace engine {
namespace {

constexpr int kRoom = 8;  // bytes behind the last plane; kernels/frame.h asks for three

// The smaller of the two factors by which the map shrinks: its smaller singular value.
double shrinkage(const std::array<double, 6>& m) {
  const double squares = m[0] * m[0] + m[1] * m[1] + m[3] * m[3] + m[4] * m[4], area = m[0] * m[4] - m[1] * m[3];
  return std::sqrt(std::max(0.0, (squares - std::sqrt(std::max(0.0, squares * squares - 4 * area * area))) / 2));
}

int halvings_for(double factor) {
  constexpr double kExact = 1 + 1e-9;  // twice as large is twice, however the matrix was rounded
  int count = 0;
  for (; factor * kExact >= 2 && count < 16; ++count) factor /= 2;
  return count;
}

// From the result to a place among the stored pixels.
std::array<double, 6> to_stored(const FrameView& view, const StoredPicture& picture) {
  std::array<double, 6> shown = view.affine;
  const auto flip = [&](size_t row) {
    for (size_t i = 0; i < 3; ++i) shown[row + i] = (i == 2 ? 1 : 0) - shown[row + i];
  };
  if (picture.orientation.flip_x) flip(0);
  if (picture.orientation.flip_y) flip(3);
  if (picture.orientation.transpose) std::swap_ranges(shown.begin(), shown.begin() + 3, shown.begin() + 3);
  for (size_t i = 0; i < 6; ++i) shown[i] *= i < 3 ? picture.width : picture.height;
  return shown;
}

template <class T>
int load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Row by row, means of 2 x 2 samples, halves rounded up; an odd row or column counts twice.
template <class T, bool kDense>
void halve(const StoredPicture::Samples& from, int width, int height, uint8_t* to) {
  const int64_t step = kDense ? static_cast<int64_t>(sizeof(T)) : from.step;
  for (int y = 0; y < height; y += 2) {
    const uint8_t *const above = from.first + y * from.stride, *const below =
                                                                   y + 1 < height ? above + from.stride : above;
    const auto mean = [&](int64_t left, int64_t right) {
      return static_cast<T>(
          (load<T>(above + left) + load<T>(above + right) + load<T>(below + left) + load<T>(below + right) + 2) / 4);
    };
    for (int x = 0; x < width / 2; ++x, to += sizeof(T)) {
      const T value = mean(2 * x * step, (2 * x + 1) * step);
      std::memcpy(to, &value, sizeof(T));
    }
    if (width % 2 == 0) continue;
    const T value = mean((width - 1) * step, (width - 1) * step);
    std::memcpy(to, &value, sizeof(T));
    to += sizeof(T);
  }
}

void halve(const StoredPicture::Samples& from, int width, int height, bool wide, uint8_t* to) {
  if (wide)
    return from.step == 2 ? halve<uint16_t, true>(from, width, height, to)
                          : halve<uint16_t, false>(from, width, height, to);
  from.step == 1 ? halve<uint8_t, true>(from, width, height, to) : halve<uint8_t, false>(from, width, height, to);
}

void copy(const StoredPicture::Samples& from, int width, int height, int64_t size, uint8_t* to) {
  for (int y = 0; y < height; ++y, to += width * size) {
    const uint8_t* const row = from.first + y * from.stride;
    if (from.step == size)
      std::memcpy(to, row, static_cast<size_t>(width * size));
    else
      for (int x = 0; x < width; ++x) std::memcpy(to + x * size, row + x * from.step, static_cast<size_t>(size));
  }
}

}  // namespace

ColourMatrix followed(const ColourMatrix& a, const ColourMatrix& b) {
  ColourMatrix both{};
  for (size_t row = 0; row < 12; row += 4)
    for (size_t i = 0; i < 4; ++i)
      both[row + i] = b[row] * a[i] + b[row + 1] * a[4 + i] + b[row + 2] * a[8 + i] + (i == 3 ? b[row + 3] : 0);
  return both;
}

ColourMatrix yuv_to_rgb(double kr, double kb, bool full_range, int bits) {
  const double unit = std::exp2(bits - 8), largest = std::exp2(bits) - 1, kg = 1 - kr - kb;
  const double y = 255 / (full_range ? largest : 219 * unit), c = 255 / (full_range ? largest : 224 * unit);
  const double black = full_range ? 0 : 16 * unit, middle = 128 * unit;
  const double red = 2 * (1 - kr) * c, blue = 2 * (1 - kb) * c;
  const double green_b = -blue * kb / kg, green_r = -red * kr / kg;
  return {y, 0,    red, -y * black - red * middle, y, green_b, green_r, -y * black - (green_b + green_r) * middle,
          y, blue, 0,   -y * black - blue * middle};
}

StoredPicture packed_rgb(const uint8_t* rgb, FrameSize size, int64_t stride) {
  return {.width = size.width,
          .height = size.height,
          .samples = {{{rgb, stride, 3}, {rgb + 1, stride, 3}, {rgb + 2, stride, 3}}}};
}

uint8_t* PictureViewer::room(int64_t start, int64_t bytes) {
  const auto needed = static_cast<size_t>(start + bytes + kRoom);
  if (memory_.size() < needed) memory_.resize(needed);
  return memory_.data() + start;
}

PictureViewer::Plane PictureViewer::add_plane(const StoredPicture::Samples& samples, int width, int height, bool wide,
                                              int halvings) {
  const int64_t size = wide ? 2 : 1, start = used_;
  if (halvings == 0) copy(samples, width, height, size, room(start, size * width * height));
  for (int i = 0; i < halvings; ++i) {
    const int half_width = (width + 1) / 2, half_height = (height + 1) / 2;
    uint8_t* const to = room(start, size * half_width * half_height);
    // From the second time on the plane is halved in place: what is written is never ahead of what is read.
    halve(i == 0 ? samples : StoredPicture::Samples{to, size * width, size}, width, height, wide, to);
    width = half_width, height = half_height;
  }
  used_ += size * width * height;
  return {start, width, height};
}

void PictureViewer::see(const StoredPicture& whole, const FrameView& view, uint8_t* rgb) {
  const StageTimer timer(Stage::convert);
  std::array<double, 6> map = to_stored(view, whole);
  StoredPicture stored = whole;
  if (view.rgb_first && view.cut[2] > 0) {
    const auto [left, top, width, height] = view.cut;
    for (auto& samples : stored.samples) samples.first += top * samples.stride + left * samples.step;
    stored.width = width, stored.height = height;
    map[2] -= left, map[5] -= top;
  }
  const int luma_halvings = view.rgb_first ? 0 : halvings_for(shrinkage(map));
  // Chroma that is subsampled in both directions has been halved once already.
  const int chroma_halvings = std::max(0, luma_halvings - (stored.shift_x > 0 && stored.shift_y > 0 ? 1 : 0));
  const auto subsampled = [](int side, int shift) { return (side + (1 << shift) - 1) >> shift; };

  Picture picture{};
  picture.wide = stored.wide;
  used_ = 0;
  const int size = stored.wide ? 2 : 1;
  for (size_t k = 0; k < 3; ++k) {
    const auto& samples = stored.samples[k];
    if (k > 0 && samples.first == stored.samples[k - 1].first) {
      picture.plane[k] = picture.plane[k - 1];
      picture.grid[1] = picture.grid[0];
      continue;
    }
    const bool chroma = k > 0;
    const Plane plane = add_plane(samples, subsampled(stored.width, chroma ? stored.shift_x : 0),
                                  subsampled(stored.height, chroma ? stored.shift_y : 0), stored.wide,
                                  chroma ? chroma_halvings : luma_halvings);
    picture.plane[k] = plane.start;
    picture.grid[chroma] = {plane.width, plane.height, plane.width * size, size, {}};
  }
  for (size_t g = 0; g < 2; ++g)
    for (size_t i = 0; i < 6; ++i) {
      const int shift = g == 0 ? 0 : i < 3 ? stored.shift_x : stored.shift_y;
      const double site = g == 0 ? 0 : i < 3 ? stored.site_x : stored.site_y;
      // The first sample's centre, at `site` + 1/2 among the others, is at 1/2 among its own.
      const double moved = i % 3 == 2 ? std::exp2(shift - 1) - 0.5 - site : 0;
      picture.grid[g].m[i / 3][i % 3] =
          static_cast<float>((map[i] + moved) * std::exp2(-shift - (g == 0 ? luma_halvings : chroma_halvings)));
    }
  const ColourMatrix colour = followed(stored.to_rgb, view.colour);
  for (size_t i = 0; i < 12; ++i) picture.colour[i / 4][i % 4] = static_cast<float>(colour[i]);
  for (size_t c = 0; c < 3; ++c) picture.fill[c] = static_cast<float>(view.fill[c]);
  picture.fill_border = view.fill_border;
  std::ranges::copy(view.erased, picture.erased);
  warp_frames(std::span<const uint8_t>(memory_), {&picture, 1}, view.size.height, view.size.width,
              {rgb, view.size.bytes()});
}

}  // namespace engine
