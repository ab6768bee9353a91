// What every kernel file uses: launching, 16-byte access, conversions, reductions of a warp and of a block.
//
// Kernels are written so that they also run on the host, thread by thread (tests/host_runner): __shared__ arrays are
// declared by SHARED and SHARED_DYN, kernels are started by launch(), arithmetic is in float and values are converted
// when they are loaded and stored. A reduction's order must not depend on alignment, so that a tensor at an offset
// gives the same bits.
#pragma once

#ifndef ENGINE_HOST_RUNNER
#include <cooperative_groups.h>
#include <cuda_runtime.h>

// SHARED(float, tile, [32][33]);   __shared__ float tile[32][33];
#define SHARED(T, name, ...) __shared__ T name __VA_ARGS__
// SHARED_DYN(float, row);   the shared memory whose size launch() was given
#define SHARED_DYN(T, name)                                              \
  extern __shared__ __align__(16) unsigned char dynamic_shared_memory[]; \
  T* const name = reinterpret_cast<T*>(dynamic_shared_memory)
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define LAUNCH_COOPERATIVE(kernel, grid, block, shared_bytes, stream, ...) \
  ::engine::launch_cooperatively(kernel, grid, block, shared_bytes, stream, __VA_ARGS__)

namespace engine {
template <class... P>
void launch_cooperatively(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                          std::type_identity_t<P>... arguments) {
  void* addresses[] = {&arguments...};
  cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel), grid, block, addresses, shared_bytes, stream);
}
// Waits for every thread of a grid that launch_together() started. What they wrote before is seen behind it: one thread
// of each block has a fence of the whole device on either side of the atomic it counts with, and the block's own
// barriers order its other threads with that one. Every block reaches it, and from the same place.
__device__ inline void grid_barrier() { cooperative_groups::this_grid().sync(); }
}  // namespace engine
#endif
#include <cuda_bf16.h>

#include "kernels/cuda/context.h"

namespace engine {

template <>
inline constexpr DType dtype_of<__nv_bfloat16> = DType::bf16;

// Calls f.operator()<T>() with float or __nv_bfloat16, the types that CUDA kernels take.
template <class F>
decltype(auto) dispatch_device_float(DType dtype, F&& f) {
  if (dtype == DType::f32) return f.template operator()<float>();
  if (dtype == DType::bf16) return f.template operator()<__nv_bfloat16>();
  throw Error(concat("CUDA kernels compute in f32 and bf16, not in ", dtype, "; convert the tensor or use the CPU"));
}

// The type of statistics, of the norms' weights and of sums: f32 for both.
__host__ __device__ inline float to_f32(float x) { return x; }
__host__ __device__ inline float to_f32(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class T>
__host__ __device__ inline T from_f32(float x) {
  return convert<T>(x);
}

// An argument as a kernel takes it: of a view (null where it is not given) and of scratch memory the address, anything
// else converted.
template <class P, class A>
P as_parameter(const A& argument) {
  if constexpr (std::is_pointer_v<P> && std::is_base_of_v<ConstView, A>) {
    return optional<std::remove_const_t<std::remove_pointer_t<P>>>(argument);
  } else if constexpr (std::is_same_v<A, CudaScratch>) {
    return argument.template as<std::remove_pointer_t<P>>();
  } else {
    return static_cast<P>(argument);
  }
}

// Queues `kernel` with its arguments as_parameter(). `name` is the op's, for messages. Nothing is
// queued for an empty grid. The launch's own errors are reported here, those of its execution by a later call.
template <class... P, class... A>
void launch(CudaContext& ctx, const char* name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
            const A&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr size_t kUnasked = 48 << 10;  // more dynamic shared memory than this must be asked for
  if (shared_bytes > kUnasked) {
    const void* const function = reinterpret_cast<const void*>(kernel);
    cudaFuncAttributes now{};
    ENGINE_CUDA(cudaFuncGetAttributes(&now, function));
    const auto asked = static_cast<int>(shared_bytes);  // never less than before: a recorded launch may need that
    if (now.maxDynamicSharedSizeBytes < asked)
      ENGINE_CUDA(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, asked));
  }
  LAUNCH(kernel, grid, block, shared_bytes, ctx.stream(), as_parameter<P>(arguments)...);
  check_call(cudaGetLastError(), name, __FILE__, __LINE__);
}

// As launch(), of blocks that all run at once, so that they can meet in grid_barrier(), and that have no SHARED memory
// of fixed size. False, with nothing queued, where the device cannot hold them all.
template <class... P, class... A>
bool launch_together(CudaContext& ctx, const char* name, void (*kernel)(P...), unsigned blocks, unsigned threads,
                     size_t shared_bytes, const A&... arguments) {
  const void* const function = reinterpret_cast<const void*>(kernel);
  const int most = ctx.attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);  // for all: a recorded launch may need more
  ENGINE_CUDA(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
  int resident = 0;  // of one multiprocessor
  ENGINE_CUDA(
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, function, static_cast<int>(threads), shared_bytes));
  if (int64_t{resident} * ctx.multiprocessors() < blocks || ctx.attribute(cudaDevAttrCooperativeLaunch) == 0)
    return false;
  LAUNCH_COOPERATIVE(kernel, blocks, threads, shared_bytes, ctx.stream(), as_parameter<P>(arguments)...);
  check_call(cudaGetLastError(), name, __FILE__, __LINE__);
  return true;
}

// Blocks that cover `items` with `per_block` each.
inline unsigned blocks_for(int64_t items, int64_t per_block) {
  const int64_t blocks = (items + per_block - 1) / per_block;
  ENGINE_CHECK(blocks <= 0x7fffffff, "CUDA: a tensor of ", items, " elements needs too many blocks");
  return static_cast<unsigned>(blocks);
}

// ---- 16-byte access ----

// Elements of T in 16 bytes.
template <class T>
inline constexpr int kLanes = 16 / static_cast<int>(sizeof(T));

// Neighbouring elements, moved 16 bytes at a time (less where they are less).
template <class T, int kCount = kLanes<T>>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Pack {
  T at[kCount];
};

// True where memory of these views may be read and written as Packs in rows of `row_elements`.
template <class... Views>
bool aligned16(int64_t row_elements, const Views&... views) {
  return ((reinterpret_cast<uintptr_t>(views.data) % 16 == 0 && row_elements * size_of(views.dtype) % 16 == 0) && ...);
}

// The elements from p on; kAligned: p is a multiple of 16 bytes.
template <bool kAligned, int kCount, class T>
__device__ inline Pack<T, kCount> load_pack(const T* p) {
  if constexpr (kAligned) {
    return *reinterpret_cast<const Pack<T, kCount>*>(p);
  } else {
    Pack<T, kCount> pack;
#pragma unroll
    for (int i = 0; i < kCount; ++i) pack.at[i] = p[i];
    return pack;
  }
}
template <bool kAligned, int kCount, class T>
__device__ inline void store_pack(T* p, const Pack<T, kCount>& pack) {
  if constexpr (kAligned) {
    *reinterpret_cast<Pack<T, kCount>*>(p) = pack;
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) p[i] = pack.at[i];
  }
}

// ---- reductions; every thread gets the result, and the order is fixed ----

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// This thread's place in its warp, and its warp's in the block (of one dimension).
__device__ inline int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int warp() { return static_cast<int>(threadIdx.x) / kWarp; }

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
// The maximum; NaN where either is.
struct Max {
  __device__ float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};

template <class T, class Op>
__device__ inline T warp_reduce(T value, Op op) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value = op(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

// Block of a multiple of 32 threads, in one dimension; every thread of it calls. `identity` op x is x.
template <class T, class Op>
__device__ inline T block_reduce(T value, T identity, Op op) {
  SHARED(T, partial, [kWarp]);
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  value = warp_reduce(value, op);
  __syncthreads();  // an earlier reduction may still be reading
  if (lane() == 0) partial[warp()] = value;
  __syncthreads();
  return warp_reduce(lane() < warps ? partial[lane()] : identity, op);
}

}  // namespace engine
