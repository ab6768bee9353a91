// Small kernels of the kinds the project has, each with faults that can be planted in it. Plant::none is the right one.
#pragma once

#include <cstdint>

enum class Plant {
  none,
  vector_past_end,
  misaligned_vector,
  off_by_one_write,
  missing_barrier_before_reuse,
  missing_barrier_after_write,
  uninitialised_shared,
  divergent_barrier,
  barrier_in_uneven_loop,
  shuffle_by_half_a_warp,
  shuffle_with_wrong_mask,
  shuffle_outside_mask,
  shared_index_out_of_bounds,
  missing_barrier_in_transpose,
  dynamic_shared_past_end,
  dynamic_shared_uninitialised,
  barrier_after_return,
  racing_sum,
  overlapping_blocks,
  distant_blocks,
  missing_fence,
  missing_syncwarp,
  missing_grid_barrier,
  divergent_grid_barrier,
  grid_barrier_after_return,
  grid_barrier_by_half_a_block,
};

template <class T, int n>
struct alignas(sizeof(T) * n) Pack {
  T values[n];
};

// y = a x + y: 16-byte packs and a tail.
template <class T, Plant plant>
__global__ void __launch_bounds__(256) scale_add(const T* __restrict__ x, T* __restrict__ y, float a, int64_t n) {
  constexpr int kPack = 16 / sizeof(T);
  using P = Pack<T, kPack>;
  const int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, step = int64_t(gridDim.x) * blockDim.x;
  int64_t packs = n / kPack;
  if (plant == Plant::vector_past_end) ++packs;
  for (int64_t i = first; i < packs; i += step) {
    const P in = reinterpret_cast<const P*>(x)[i];
    P out = reinterpret_cast<const P*>(y)[i];
#pragma unroll
    for (int k = 0; k < kPack; ++k) out.values[k] = T(a * float(in.values[k]) + float(out.values[k]));
    reinterpret_cast<P*>(y)[i] = out;
  }
  for (int64_t i = packs * kPack + first; i < n; i += step) y[i] = T(a * float(x[i]) + float(y[i]));
}

__device__ __forceinline__ float warp_sum(float value) {
  for (int offset = 16; offset; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

template <Plant plant>
__device__ float block_sum(float value) {
  SHARED(float, partial, [32]);
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  if (plant != Plant::missing_barrier_before_reuse) __syncthreads();  // the previous call may still read `partial`
  if (lane == 0) partial[warp] = value;
  if (plant != Plant::missing_barrier_after_write) __syncthreads();
  return warp_sum(lane < warps || plant == Plant::uninitialised_shared ? partial[lane] : 0.0f);
}

// One block per row: (x - mean) / standard deviation.
template <Plant plant>
__global__ void normalise(const float* x, float* y, int width) {
  const float* row = x + int64_t(blockIdx.x) * width;
  float sum = 0, squares = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    sum += __ldg(row + i);
    if (plant == Plant::barrier_in_uneven_loop) __syncthreads();
  }
  const float mean = block_sum<plant>(sum) / width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) squares += (row[i] - mean) * (row[i] - mean);
  if (plant == Plant::divergent_barrier && threadIdx.x < 32) __syncthreads();
  if (plant == Plant::shuffle_by_half_a_warp && threadIdx.x % 32 < 16) squares = __shfl_sync(0xffffffffu, squares, 0);
  if (plant == Plant::shuffle_with_wrong_mask) squares = __shfl_sync(0x0000ffffu, squares, 0);
  if (plant == Plant::shuffle_outside_mask && threadIdx.x % 32 < 16) squares = __shfl_sync(0x0000ffffu, squares, 20);
  const float scale = rsqrtf(block_sum<plant>(squares) / width);
  for (int i = threadIdx.x; i < width; i += blockDim.x) y[int64_t(blockIdx.x) * width + i] = (row[i] - mean) * scale;
}

// A block of (32, 8) threads per 32 by 32 tile.
template <class T, Plant plant>
__global__ void transpose(const T* in, T* out, int rows, int columns) {
  SHARED(T, tile, [32][33]);
  const int shift = plant == Plant::shared_index_out_of_bounds ? 2 : 0;
  int x = blockIdx.x * 32 + threadIdx.x;
  for (int k = threadIdx.y; k < 32; k += blockDim.y) {
    const int y = blockIdx.y * 32 + k;
    if (x < columns && y < rows) tile[k][threadIdx.x + shift] = in[int64_t(y) * columns + x];
  }
  if (plant != Plant::missing_barrier_in_transpose) __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  for (int k = threadIdx.y; k < 32; k += blockDim.y) {
    const int y = blockIdx.x * 32 + k;
    if (x < rows && y < columns) out[int64_t(y) * rows + x] = tile[threadIdx.x][k + shift];
  }
}

// One block per row, which is kept in dynamic shared memory: exp(x) / sum exp(x), for small x.
template <Plant plant>
__global__ void softmax(const float* x, float* y, int width) {
  SHARED_DYN(float, row);
  float sum = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    const float e = __expf(x[int64_t(blockIdx.x) * width + i]);
    sum += e;
    if (plant != Plant::dynamic_shared_uninitialised || i != 5) row[i] = e;
  }
  if (plant == Plant::dynamic_shared_past_end && threadIdx.x == 0) row[width] = 0;
  sum = block_sum<plant>(sum);
  for (int i = threadIdx.x; i < width; i += blockDim.x) y[int64_t(blockIdx.x) * width + i] = row[i] / sum;
}

// x has n + 1 elements, y has n.
template <Plant plant>
__global__ void negate(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (plant == Plant::off_by_one_write ? i > n : i >= n) return;
  if (plant == Plant::barrier_after_return) __syncthreads();
  y[i] = -x[i];
}

template <Plant plant>
__global__ void count_positive(const float* x, int* count, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int positive = __popc(__ballot_sync(0xffffffffu, i < n && x[i] > 0));
  if (threadIdx.x % 32 != 0) return;
  if (plant == Plant::racing_sum)
    *count += positive;
  else
    atomicAdd(count, positive);
}

// Each block squares `share` elements.
template <Plant plant>
__global__ void square_shares(const float* x, float* y, int n, int share) {
  const int begin = blockIdx.x * share, all = plant == Plant::overlapping_blocks ? share + 1 : share;
  for (int i = threadIdx.x; i < all && begin + i < n; i += blockDim.x) y[begin + i] = x[begin + i] * x[begin + i];
  if (plant == Plant::distant_blocks && begin + share >= n && threadIdx.x == 0) y[0] = x[0] * x[0];
  __syncthreads();
}

// The last block to finish adds the sums of all blocks, in their order. `partial` has a place for each block.
template <Plant plant>
__global__ void sum(const float* x, float* partial, unsigned* finished, float* result, int n) {
  SHARED(bool, last);
  float value = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) value += x[i];
  value = block_sum<plant>(value);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = value;
    if (plant != Plant::missing_fence) __threadfence();
    last = atomicInc(finished, gridDim.x - 1) == gridDim.x - 1;
    if (plant != Plant::missing_fence) __threadfence();
  }
  __syncthreads();
  if (!last || threadIdx.x != 0) return;
  float total = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) total += __ldcg(partial + i);
  *result = total;
}

// One warp per block reverses 32 elements through shared memory.
template <Plant plant>
__global__ void reverse_warp(const float* x, float* y) {
  SHARED(float, values, [32]);
  values[threadIdx.x] = x[blockIdx.x * 32 + threadIdx.x];
  if (plant == Plant::missing_syncwarp)
    __any_sync(0xffffffffu, 1);  // meets the other lanes, but orders no memory
  else
    __syncwarp();
  y[blockIdx.x * 32 + threadIdx.x] = values[31 - threadIdx.x];
}

// Blocks that run together move the elements of a and b, in turn each other's source, one place up in every step: the
// first element of a block comes from the block before. The result is in a if `steps` is even.
template <Plant plant>
__global__ void rotate(float* a, float* b, int n, int steps) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  for (int step = 0; step < steps; ++step) {
    const float* from = step % 2 == 0 ? a : b;
    float* to = step % 2 == 0 ? b : a;
    if (i < n) to[i] = from[i > 0 ? i - 1 : n - 1];
    if (plant == Plant::missing_grid_barrier) continue;
    if (plant == Plant::grid_barrier_after_return && blockIdx.x == 1 && step == steps - 1) return;
    if (plant == Plant::grid_barrier_by_half_a_block && threadIdx.x < 32) __syncthreads();
    if (plant == Plant::divergent_grid_barrier && blockIdx.x == 2)
      grid_barrier();
    else
      grid_barrier();
  }
}
