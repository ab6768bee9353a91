// out[i] = f(in0[i], in1[i], ...), converted to out's type: the one launcher of everything that works element by
// element.
//
// Traffic: each input is read once and the output written once, 16 bytes (or a multiple) per thread and access. Bound
// by memory.
#pragma once

#include "kernels/cuda/device.h"

namespace engine {

inline constexpr int kMapThreads = 256;

template <bool kAligned, int kCount, class F, class Out, class... In>
__global__ void map_kernel(int64_t count, F f, Out* out, const In*... in) {
  const int64_t first = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kCount;
  if (first + kCount <= count) {
    const auto apply = [&](const auto&... packs) {
      Pack<Out, kCount> result;
#pragma unroll
      for (int i = 0; i < kCount; ++i) result.at[i] = convert<Out>(f(packs.at[i]...));
      store_pack<kAligned, kCount>(out + first, result);
    };
    apply(load_pack<kAligned, kCount>(in + first)...);
  } else {
    for (int64_t i = first; i < count; ++i) out[i] = convert<Out>(f(in[i]...));
  }
}

// f takes the elements, or floats that they convert to; it may be any type that can be copied to the device. `out` may
// be one of the inputs.
template <class F, class Out, class... In>
void map(CudaContext& ctx, const char* name, int64_t count, const F& f, Out* out, const In*... in) {
  constexpr int kCount = kLanes < Out >> 4 || ((kLanes < In >> 4) || ...) ? 8 : 4;  // 8 where any type has 2 bytes
  const bool aligned =
      reinterpret_cast<uintptr_t>(out) % 16 == 0 && ((reinterpret_cast<uintptr_t>(in) % 16 == 0) && ...);
  dispatch_bool(aligned, [&]<bool kAligned>() {
    launch(ctx, name, map_kernel<kAligned, kCount, F, Out, In...>, blocks_for(count, int64_t{kMapThreads} * kCount),
           kMapThreads, 0, count, f, out, in...);
  });
}

}  // namespace engine
