// Pixels to numbers. Traffic: normalize_frames 5 / 3 bytes per value (f32 / bf16); warp_frames the source pixels that
// are seen, once (their neighbours come from the cache), and 4 K / 2 K bytes per output pixel: 3 + 16 for RGB to 8
// channels of bf16. Bound by memory.
#include "kernels/frame.h"

#include "kernels/cuda/rows.cuh"

namespace engine {
namespace {

constexpr int kThreads = 256;

struct Affine {
  float scale, shift;
};
// Kernels take it as a __grid_constant__: indexed where it is, without a copy for each thread.
struct Channels {
  Affine at[NormalizeFrames::kMaxChannels];

  explicit Channels(const NormalizeFrames& p) {
    for (size_t c = 0; c < p.scale.size(); ++c)
      at[c] = {static_cast<float>(p.scale[c]), static_cast<float>(p.shift[c])};
  }
};

template <bool kAligned, class T>
__global__ void normalize_kernel(int64_t count, int channels, const __grid_constant__ Channels p, const uint8_t* x,
                                 T* y) {
  constexpr int kCount = kLanes<T>;
  // Neighbouring threads want different channels, which shared memory serves together, parameters one by one.
  SHARED(Affine, affine, [NormalizeFrames::kMaxChannels]);
  if (threadIdx.x < NormalizeFrames::kMaxChannels) affine[threadIdx.x] = p.at[threadIdx.x];
  __syncthreads();
  const int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kCount;
  if (first >= count) return;
  int c = static_cast<int>(first % channels);
  const auto next = [&](uint8_t value) {
    const Affine f = affine[c];
    c = c + 1 == channels ? 0 : c + 1;
    return from_f32<T>(fmaf(f.scale, static_cast<float>(value), f.shift));
  };
  if (first + kCount <= count) {
    const auto in = load_pack<kAligned, kCount>(x + first);
    Pack<T> out;
#pragma unroll
    for (int i = 0; i < kCount; ++i) out.at[i] = next(in.at[i]);
    store_pack<kAligned, kCount>(y + first, out);
  } else {
    for (int64_t i = first; i < count; ++i) y[i] = next(x[i]);
  }
}

__device__ inline float between(float a, float b, float weight) { return fmaf(weight, b - a, a); }

struct WarpSizes {
  int height, width, channels;  // of x
  int rows, columns, padded;    // of y
};

// A thread per output pixel; blockIdx.y counts frames.
template <bool kAligned, class T>
__global__ void warp_kernel(int64_t frames, WarpSizes z, const __grid_constant__ Channels p, const uint8_t* x,
                            const float* matrices, T* y) {
  constexpr int kCount = kLanes<T>;
  const int pixel = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (pixel >= z.rows * z.columns) return;
  const float right = static_cast<float>(pixel % z.columns) + 0.5f, down = static_cast<float>(pixel / z.columns) + 0.5f;
  for (int64_t frame = blockIdx.y; frame < frames; frame += gridDim.y) {
    const float* m = matrices + 6 * frame;
    const BilinearSample u(fmaf(m[0], right, fmaf(m[1], down, m[2])), z.width);
    const BilinearSample v(fmaf(m[3], right, fmaf(m[4], down, m[5])), z.height);
    const uint8_t* const above = x + (frame * z.height + v.first) * z.width * z.channels;
    const uint8_t* const below = x + (frame * z.height + v.second) * z.width * z.channels;
    const int left = u.first * z.channels, other = u.second * z.channels;
    T* const out = y + (frame * z.rows * z.columns + pixel) * z.padded;
    for (int c = 0; c < z.padded; c += kCount) {
      float values[kCount] = {};
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (c + i >= z.channels) continue;
        const float top = between(above[left + c + i], above[other + c + i], u.weight);
        const float bottom = between(below[left + c + i], below[other + c + i], u.weight);
        values[i] = fmaf(p.at[c + i].scale, between(top, bottom, v.weight), p.at[c + i].shift);
      }
      RowPacks<T, kAligned>{z.padded}.store(out, c, values);
    }
  }
}

}  // namespace

void normalize_frames(CudaContext& ctx, const NormalizeFrames& p, ConstView x, View y) {
  const int64_t count = x.elements();
  dispatch_device_float(y.dtype, [&]<class T>() {
    constexpr int kCount = kLanes<T>;
    const bool aligned = aligned16(kCount, y) && reinterpret_cast<uintptr_t>(x.data) % kCount == 0;
    dispatch_bool(aligned, [&]<bool kAligned>() {
      launch(ctx, "normalize_frames", normalize_kernel<kAligned, T>, blocks_for(count, kThreads * kCount), kThreads, 0,
             count, x.shape[-1], Channels(p), x, y);
    });
  });
}

void warp_frames(CudaContext& ctx, const NormalizeFrames& p, ConstView x, ConstView matrix, View y) {
  constexpr int64_t kMostBlocks = 65535;  // of a grid's second axis
  const auto size = [](int64_t value) { return static_cast<int>(value); };
  const WarpSizes z{size(x.shape[1]), size(x.shape[2]), size(x.shape[3]),
                    size(y.shape[1]), size(y.shape[2]), size(y.shape[3])};
  const int64_t frames = x.shape[0], pixels = y.shape[1] * y.shape[2];
  ENGINE_CHECK(pixels <= 0x7fffff00, "warp_frames: frames of ", y.shape, " have too many pixels for CUDA");
  const dim3 grid(blocks_for(pixels, kThreads), static_cast<unsigned>(std::min(frames, kMostBlocks)));
  dispatch_device_float(y.dtype, [&]<class T>() {
    dispatch_bool(aligned16(y.shape[3], y), [&]<bool kAligned>() {
      launch(ctx, "warp_frames", warp_kernel<kAligned, T>, grid, kThreads, 0, frames, z, Channels(p), x, matrix, y);
    });
  });
}

}  // namespace engine
