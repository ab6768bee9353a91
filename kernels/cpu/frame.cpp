#include "kernels/frame.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu/parallel.h"

namespace engine {
namespace {

// Scale and shift are written out for this many pixels, so that the inner loop vectorises whatever C is.
constexpr int64_t kPixels = 64, kLongestRun = kPixels * NormalizeFrames::kMaxChannels;
// Pixels that are warped at once, always as many, so that no loop has a rest: places are limited to their picture.
constexpr int kRun = 64;

// Where a run of output pixels lies in the planes of one grid.
struct Places {
  float u[kRun], v[kRun], across[kRun], down[kRun];
  int above[kRun], below[kRun];  // bytes from a plane's first sample to the left ones of the four around a place

  Places(const Picture::Grid& g, int p, int q) {
    const float from_top = static_cast<float>(p) + 0.5f;
#pragma omp simd
    for (int i = 0; i < kRun; ++i) {
      const float from_left = static_cast<float>(q + i) + 0.5f;
      u[i] = std::fma(g.m[0][0], from_left, std::fma(g.m[0][1], from_top, g.m[0][2]));
      v[i] = std::fma(g.m[1][0], from_left, std::fma(g.m[1][1], from_top, g.m[1][2]));
      const BilinearSample x(u[i], g.width), y(v[i], g.height);
      above[i] = y.first * g.stride + x.first * g.step, below[i] = y.second * g.stride + x.first * g.step;
      across[i] = x.weight, down[i] = y.weight;
    }
  }
};

// The samples of a plane from the words that are read at these places: each holds two neighbours, of which the right
// one counts nothing where the left one is a row's last.
template <class T>
void mix_samples(const uint32_t* above, const uint32_t* below, int bits, int step, const Places& at, T* values) {
#pragma omp simd
  for (int i = 0; i < kRun; ++i) {
    const auto between = [](T a, T b, float weight) { return a + static_cast<T>(weight) * (b - a); };
    const auto sample = [bits](uint32_t word) { return static_cast<T>(static_cast<int>(word) & bits); };
    const T top = between(sample(above[i]), sample(above[i] >> 8 * step), at.across[i]);
    values[i] = between(top, between(sample(below[i]), sample(below[i] >> 8 * step), at.across[i]), at.down[i]);
  }
}

// Output pixels (p, q) to (p, q + count - 1), with T for the arithmetic. Words are read long before they are used, and
// the empty statement keeps the compiler from reading by vector instructions, which takes longer.
template <class T, class Out>
void warp_run(const NormalizeFrames& f, const Picture& picture, const uint8_t* bytes, int p, int q, int count,
              int64_t channels, Out* out) {
  const Places places[2] = {{picture.grid[0], p, q}, {picture.grid[1], p, q}}, &first = places[0];
  uint32_t above[3][kRun], below[3][kRun];
  for (int k = 0; k < 3; ++k)
    for (int i = 0; i < kRun; ++i) {
      std::memcpy(above[k] + i, bytes + picture.plane[k] + places[k > 0].above[i], 4);
      std::memcpy(below[k] + i, bytes + picture.plane[k] + places[k > 0].below[i], 4);
      asm volatile("");
    }
  T samples[3][kRun];
  for (int k = 0; k < 3; ++k)
    mix_samples(above[k], below[k], picture.wide ? 0xffff : 0xff, picture.grid[k > 0].step, places[k > 0], samples[k]);
  const auto& [left, top, right, bottom] = picture.erased;
  const bool row_erased = p >= top && p < bottom, fills_border = picture.fill_border != 0;
  const auto limited = [](T value) { return value > 255 ? T(255) : value > 0 ? value : T(0); };
  const auto width = static_cast<float>(picture.grid[0].width), height = static_cast<float>(picture.grid[0].height);
  const T fill[3] = {picture.fill[0], picture.fill[1], picture.fill[2]};
  Out values[3 * kRun];
  const auto finish = [&](auto may_fill) {
#pragma omp simd
    for (int i = 0; i < kRun; ++i) {
      const bool inside = (first.u[i] >= 0) & (first.u[i] < width) & (first.v[i] >= 0) & (first.v[i] < height);
      const bool filled = may_fill && ((fills_border & !inside) | (row_erased & (q + i >= left) & (q + i < right)));
      for (size_t c = 0; c < 3; ++c) {
        const auto& m = picture.colour[c];
        const T seen = m[0] * samples[0][i] + (m[1] * samples[1][i] + (m[2] * samples[2][i] + m[3]));
        const T value = static_cast<T>(f.scale[c]) * limited(filled ? fill[c] : seen) + static_cast<T>(f.shift[c]);
        values[3 * static_cast<size_t>(i) + c] = static_cast<Out>(sizeof(Out) == 1 ? limited(value) + T(0.5) : value);
      }
    }
  };
  row_erased || fills_border ? finish(std::true_type()) : finish(std::false_type());
  if (channels == 3) return void(std::memcpy(out, values, static_cast<size_t>(3 * count) * sizeof(Out)));
  for (int i = 0; i < count; ++i, out += channels)
    for (int64_t c = 0; c < channels; ++c) out[c] = c < 3 ? values[3 * i + c] : Out(0);
}

}  // namespace

void normalize_frames(CpuContext& ctx, const NormalizeFrames& p, ConstView x, View y) {
  const InF32 in_f32(ctx, x, y);
  const int64_t channels = x.shape[-1], run = kPixels * channels, count = x.elements();
  dispatch_float(y.dtype, [&]<class T>() {
    T scale[kLongestRun], shift[kLongestRun];
    for (size_t i = 0, c = 0; i < static_cast<size_t>(run); ++i, c = (c + 1) % static_cast<size_t>(channels))
      scale[i] = static_cast<T>(p.scale[c]), shift[i] = static_cast<T>(p.shift[c]);
    const uint8_t* in = x.as<uint8_t>();
    T* out = y.as<T>();
    parallel_rows((count + run - 1) / run, run, [&](int64_t r) {
      const int64_t first = r * run, length = std::min(run, count - first);
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) out[first + i] = static_cast<T>(in[first + i]) * scale[i] + shift[i];
    });
  });
}

void warp_frames(CpuContext& ctx, const NormalizeFrames& p, ConstView pixels, ConstView pictures, View y) {
  const InF32 in_f32(ctx, y);
  const auto* all = reinterpret_cast<const Picture*>(pictures.as<uint8_t>());
  const auto* bytes = pixels.as<uint8_t>();
  const auto warp = [&]<class T, class Out>(T, Out* out) {
    const int64_t rows = y.shape[1], columns = y.shape[2], channels = y.shape[3];
    parallel_rows(y.shape[0] * rows, columns * channels, [&](int64_t row) {
      for (int64_t q = 0; q < columns; q += kRun)
        warp_run<T>(p, all[row / rows], bytes, static_cast<int>(row % rows), static_cast<int>(q),
                    static_cast<int>(std::min<int64_t>(kRun, columns - q)), channels,
                    out + (row * columns + q) * channels);
    });
  };
  if (y.dtype == DType::u8) return warp(0.0f, y.as<uint8_t>());
  dispatch_float(y.dtype, [&]<class T>() { warp(T(0), y.as<T>()); });
}

}  // namespace engine
