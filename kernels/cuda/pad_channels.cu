// Frames on their way into a convolution. Traffic per pixel: 2 C bytes read, 16 written in one access. Bound by memory.
#include "kernels/cuda/pad_channels.h"

#include "kernels/cuda/device.h"

namespace engine {
namespace {

constexpr int kThreads = 256;
constexpr int kPadded = kLanes<__nv_bfloat16>;

// A thread per pixel; a warp's reads lie side by side.
__global__ void pad_channels_kernel(int64_t pixels, int channels, const __nv_bfloat16* x, Pack<__nv_bfloat16>* y) {
  const int64_t pixel = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (pixel >= pixels) return;
  Pack<__nv_bfloat16> padded;
#pragma unroll
  for (int c = 0; c < kPadded; ++c) padded.at[c] = c < channels ? x[pixel * channels + c] : from_f32<__nv_bfloat16>(0);
  y[pixel] = padded;
}

}  // namespace

void pad_channels(CudaContext& ctx, ConstView x, View y) {
  const int64_t channels = x.shape[-1], pixels = x.elements() / channels;
  ENGINE_CHECK(channels <= kPadded && y.elements() == pixels * kPadded && aligned16(kPadded, y), "pad_channels: x ",
               x.shape, ", y ", y.shape);
  launch(ctx, "pad_channels", pad_channels_kernel, blocks_for(pixels, kThreads), kThreads, 0, pixels,
         static_cast<int>(channels), x, reinterpret_cast<Pack<__nv_bfloat16>*>(y.memory()));
}

}  // namespace engine
