#include "kernels/frame.h"

#include <cmath>

#include "kernels/cpu/parallel.h"

namespace engine {
namespace {

// Scale and shift are written out for this many pixels, so that the inner loop vectorises whatever C is.
constexpr int64_t kPixels = 64;
constexpr int64_t kLongestRun = kPixels * NormalizeFrames::kMaxChannels;

}  // namespace

void normalize_frames(CpuContext& ctx, const NormalizeFrames& p, ConstView x, View y) {
  const InF32 in_f32(ctx, x, y);
  const int64_t channels = x.shape[-1], run = kPixels * channels, count = x.elements();
  dispatch_float(y.dtype, [&]<class T>() {
    T scale[kLongestRun], shift[kLongestRun];
    for (int64_t i = 0; i < run; ++i) {
      scale[i] = static_cast<T>(p.scale[static_cast<size_t>(i % channels)]);
      shift[i] = static_cast<T>(p.shift[static_cast<size_t>(i % channels)]);
    }
    const uint8_t* in = x.as<uint8_t>();
    T* out = y.as<T>();
    parallel_rows((count + run - 1) / run, run, [&](int64_t r) {
      const int64_t first = r * run, length = std::min(run, count - first);
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) out[first + i] = static_cast<T>(in[first + i]) * scale[i] + shift[i];
    });
  });
}

void warp_frames(CpuContext& ctx, const NormalizeFrames& p, ConstView x, ConstView matrix, View y) {
  const InF32 in_f32(ctx, x, matrix, y);
  const int64_t height = x.shape[1], width = x.shape[2], channels = x.shape[3];
  const int64_t rows = y.shape[1], columns = y.shape[2], padded = y.shape[3];
  const uint8_t* in = x.as<uint8_t>();
  const float* matrices = matrix.as<float>();
  dispatch_float(y.dtype, [&]<class T>() {
    T* out = y.as<T>();
    parallel_rows(x.shape[0] * rows, columns * padded, [&](int64_t row) {
      for (int64_t pixel = row * columns; pixel < (row + 1) * columns; ++pixel) {
        const int64_t frame = pixel / (rows * columns);
        const float* m = matrices + 6 * frame;
        const float right = static_cast<float>(pixel % columns) + 0.5f;
        const float down = static_cast<float>(pixel / columns % rows) + 0.5f;
        const BilinearSample u(std::fma(m[0], right, std::fma(m[1], down, m[2])), static_cast<int>(width));
        const BilinearSample v(std::fma(m[3], right, std::fma(m[4], down, m[5])), static_cast<int>(height));
        const auto at = [&](int64_t h, int64_t w, int64_t c) {
          return static_cast<T>(in[((frame * height + h) * width + w) * channels + c]);
        };
        const auto between = [](T a, T b, float weight) { return a + static_cast<T>(weight) * (b - a); };
        for (int64_t c = 0; c < channels; ++c) {
          const T above = between(at(v.first, u.first, c), at(v.first, u.second, c), u.weight);
          const T below = between(at(v.second, u.first, c), at(v.second, u.second, c), u.weight);
          const auto channel = static_cast<size_t>(c);
          out[pixel * padded + c] =
              static_cast<T>(p.scale[channel]) * between(above, below, v.weight) + static_cast<T>(p.shift[channel]);
        }
        std::fill(out + pixel * padded + channels, out + (pixel + 1) * padded, T(0));
      }
    });
  });
}

}  // namespace engine
