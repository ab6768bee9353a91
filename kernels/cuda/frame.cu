// Pixels to numbers. Traffic: normalize_frames 5 / 3 bytes per value (f32 / bf16); warp_frames the samples that are
// seen, once (their neighbours come from the cache), and 4 K / 2 K / K bytes per output pixel (f32 / bf16 / u8): 1.5 to
// 3 and 16 for 8 channels of bf16. Bound by memory.
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

// A thread per output pixel; blockIdx.y counts pictures.
template <bool kAligned, class T>
__global__ void warp_kernel(int64_t count, int rows, int columns, int channels, const __grid_constant__ Channels f,
                            const uint8_t* pixels, const Picture* pictures, T* y) {
  constexpr int kCount = kLanes<T>;
  const int pixel = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (pixel >= rows * columns) return;
  const int q = pixel % columns, p = pixel / columns;
  const float from_left = static_cast<float>(q) + 0.5f, from_top = static_cast<float>(p) + 0.5f;
  for (int64_t n = blockIdx.y; n < count; n += gridDim.y) {
    const Picture& picture = pictures[n];
    float samples[3];
    bool inside = true;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      const Picture::Grid& g = picture.grid[k > 0];
      const float u = fmaf(g.m[0][0], from_left, fmaf(g.m[0][1], from_top, g.m[0][2]));
      const float v = fmaf(g.m[1][0], from_left, fmaf(g.m[1][1], from_top, g.m[1][2]));
      if (k == 0) inside = u >= 0 && u < static_cast<float>(g.width) && v >= 0 && v < static_cast<float>(g.height);
      const BilinearSample x(u, g.width), row(v, g.height);
      const auto at = [&](int h, int w) {
        const uint8_t* const sample = pixels + picture.plane[k] + h * g.stride + w * g.step;
        return static_cast<float>(picture.wide ? sample[0] | sample[1] << 8 : sample[0]);
      };
      const float top = between(at(row.first, x.first), at(row.first, x.second), x.weight);
      const float bottom = between(at(row.second, x.first), at(row.second, x.second), x.weight);
      samples[k] = between(top, bottom, row.weight);
    }
    const auto& [left, top, right, bottom] = picture.erased;
    const bool filled = (picture.fill_border && !inside) || (q >= left && q < right && p >= top && p < bottom);
    T* const out = y + (n * rows * columns + pixel) * channels;
    for (int c = 0; c < channels; c += kCount) {
      float values[kCount] = {};
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        if (c > 0) continue;
        const float* const m = picture.colour[i];
        const float seen = fmaf(m[0], samples[0], fmaf(m[1], samples[1], fmaf(m[2], samples[2], m[3])));
        const float limited = fminf(fmaxf(filled ? picture.fill[i] : seen, 0.0f), 255.0f);
        values[i] = fmaf(f.at[i].scale, limited, f.at[i].shift);
        if (std::is_same_v<T, uint8_t>) values[i] = fminf(fmaxf(values[i], 0.0f), 255.0f) + 0.5f;
      }
      RowPacks<T, kAligned>{channels}.store(out, c, values);
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

void warp_frames(CudaContext& ctx, const NormalizeFrames& p, ConstView pixels, ConstView pictures, View y) {
  constexpr int64_t kMostBlocks = 65535;  // of a grid's second axis
  const int64_t count = y.shape[0], area = y.shape[1] * y.shape[2];
  ENGINE_CHECK(area <= 0x7fffff00, "warp_frames: frames of ", y.shape, " have too many pixels for CUDA");
  const dim3 grid(blocks_for(area, kThreads), static_cast<unsigned>(std::min(count, kMostBlocks)));
  const auto* described = reinterpret_cast<const Picture*>(pictures.as<uint8_t>());
  const auto warp = [&]<class T>() {
    dispatch_bool(aligned16(y.shape[3], y), [&]<bool kAligned>() {
      launch(ctx, "warp_frames", warp_kernel<kAligned, T>, grid, kThreads, 0, count, y.shape[1], y.shape[2], y.shape[3],
             Channels(p), pixels, described, y);
    });
  };
  if (y.dtype == DType::u8) return warp.template operator()<uint8_t>();
  dispatch_device_float(y.dtype, warp);
}

}  // namespace engine
