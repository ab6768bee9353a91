// Dropout. Traffic 8 / 4 bytes per element (f32 / bf16); bound by memory, in bf16 closely followed by the integer
// arithmetic of Philox: one call for 4 elements.
#include "kernels/dropout.h"

#include <cmath>

#include "kernels/cuda/device.h"
#include "kernels/philox.h"

namespace engine {
namespace {

constexpr int kThreads = 256;

template <bool kAligned, class T>
__global__ void dropout_kernel(int64_t count, uint64_t key, uint32_t stream, uint32_t threshold, float scale,
                               const int64_t* step, const T* x, T* y) {
  constexpr int kCount = kLanes<T>;
  const int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kCount;
  const bool whole = first + kCount <= count;
  Pack<T> pack{};
  if (whole) {
    pack = load_pack<kAligned, kCount>(x + first);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (first + i < count) pack.at[i] = x[first + i];
  }
  const auto now = static_cast<uint64_t>(*step);
#pragma unroll
  for (int i = 0; i < kCount; i += 4) {
    const auto words = philox(key, {static_cast<uint32_t>((first + i) / 4), static_cast<uint32_t>(now),
                                    static_cast<uint32_t>(now >> 32), stream});
#pragma unroll
    for (int k = 0; k < 4; ++k)
      pack.at[i + k] = from_f32<T>((words[k] >> 8) >= threshold ? to_f32(pack.at[i + k]) * scale : 0.0f);
  }
  if (whole) {
    store_pack<kAligned, kCount>(y + first, pack);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (first + i < count) y[first + i] = pack.at[i];
  }
}

}  // namespace

void dropout(CudaContext& ctx, const Dropout& p, ConstView step, ConstView x, View y) {
  // u < p for u = k 2^-24 is k < ceil(p 2^24).
  const auto threshold = static_cast<uint32_t>(std::ceil(p.probability * 0x1p24));
  const int64_t count = x.elements();
  dispatch_device_float(x.dtype, [&]<class T>() {
    dispatch_bool(aligned16(kLanes<T>, x, y), [&]<bool kAligned>() {
      launch(ctx, "dropout", dropout_kernel<kAligned, T>, blocks_for(count, int64_t{kThreads} * kLanes<T>), kThreads, 0,
             count, p.key, p.stream, threshold, 1 / (1 - p.probability), step.as<int64_t>(), x.as<T>(), y.as<T>());
    });
  });
}

}  // namespace engine
