// Dropout. Traffic 8 / 4 bytes per element (f32 / bf16); bound by memory, in bf16 closely followed by the integer
// arithmetic of Philox: one call for 4 elements.
#include "kernels/cuda/dropout.cuh"

namespace engine {
namespace {

constexpr int kThreads = 256;

template <bool kAligned, class T>
__global__ void dropout_kernel(int64_t count, DropoutMask mask, const T* x, T* y) {
  constexpr int kCount = kLanes<T>;
  const int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kCount;
  const bool whole = first + kCount <= count;
  Pack<T> pack{};
  if (whole) pack = load_pack<kAligned, kCount>(x + first);
  float values[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i)
    values[i] = whole ? to_f32(pack.at[i]) : first + i < count ? to_f32(x[first + i]) : 0.0f;
  mask.apply<T, true>(first, values);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    pack.at[i] = from_f32<T>(values[i]);
    if (!whole && first + i < count) y[first + i] = pack.at[i];
  }
  if (whole) store_pack<kAligned, kCount>(y + first, pack);
}

}  // namespace

void dropout(CudaContext& ctx, const Dropout& p, ConstView step, ConstView x, View y) {
  const int64_t count = x.elements();
  dispatch_device_float(x.dtype, [&]<class T>() {
    dispatch_bool(aligned16(kLanes<T>, x, y), [&]<bool kAligned>() {
      launch(ctx, "dropout", dropout_kernel<kAligned, T>, blocks_for(count, int64_t{kThreads} * kLanes<T>), kThreads, 0,
             count, mask_of(p, step), x, y);
    });
  });
}

}  // namespace engine
