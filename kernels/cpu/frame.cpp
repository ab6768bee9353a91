#include "kernels/frame.h"

#include "kernels/cpu/parallel.h"

namespace engine {
namespace {

// Scale and shift are written out for this many pixels, so that the inner loop vectorises whatever C is.
constexpr int64_t kPixels = 64;
constexpr int64_t kLongestRun = kPixels * NormalizeFrames::kMaxChannels;

}  // namespace

void normalize_frames(CpuContext& ctx, const NormalizeFrames& p, ConstView x, View y) {
  if (y.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { normalize_frames(ctx, p, v...); }, x, y);
  const int64_t channels = x.shape[-1], run = kPixels * channels, count = x.elements();
  dispatch_float(y.dtype, [&]<class T>() {
    T scale[kLongestRun], shift[kLongestRun];
    for (int64_t i = 0; i < run; ++i) {
      scale[i] = static_cast<T>(p.scale[static_cast<size_t>(i % channels)]);
      shift[i] = static_cast<T>(p.shift[static_cast<size_t>(i % channels)]);
    }
    const uint8_t* in = x.as<uint8_t>();
    T* out = y.as<T>();
    parallel_for((count + run - 1) / run, kPointwiseGrain / run, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t first = r * run, length = std::min(run, count - first);
#pragma omp simd
        for (int64_t i = 0; i < length; ++i) out[first + i] = static_cast<T>(in[first + i]) * scale[i] + shift[i];
      }
    });
  });
}

}  // namespace engine
