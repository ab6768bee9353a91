// The rows of a matrix spread over threads, for what needs a whole row at once (softmax, layer norm, cross entropy). By
// its length and by how many elements a thread may hold, a row is shared by
//   up to 32 threads of a warp that hold one pack each;
//   up to 32 threads of a warp that hold as much as they may (16 elements: up to 512 columns);
//   several warps that do (16 elements: up to 8192 columns);
//   a block of 512 threads that holds nothing: it reads the row again, from the caches, in every pass.
// Short rows share a block. Which thread has which element depends on the number of columns alone. Kernels write fmaf
// where a product is added: left to the compiler, it may be rounded in the aligned kernel and not in the other.
#pragma once

#include "kernels/cuda/device.h"

namespace engine {

// Rows of packs; kAligned: of whole ones, at multiples of 16 bytes.
template <class Element, bool kAligned>
struct RowPacks {
  using T = Element;
  static constexpr int kCount = kLanes<T>;  // elements in a pack
  static constexpr bool kWhole = kAligned;  // packs are whole

  int columns;

  __device__ bool inside(int column) const { return kAligned || column < columns; }

  // A pack of a row that starts at `row`; beyond its end `padding`.
  template <class V>
  __device__ void load(const V* row, int column, float (&to)[kCount], float padding = 0.0f) const {
    if constexpr (kAligned) {
      const auto pack = load_pack<true, kCount>(row + column);
#pragma unroll
      for (int i = 0; i < kCount; ++i) to[i] = to_f32(pack.at[i]);
    } else {
#pragma unroll
      for (int i = 0; i < kCount; ++i) to[i] = inside(column + i) ? to_f32(row[column + i]) : padding;
    }
  }
  template <class V>
  __device__ void store(V* row, int column, const float* from) const {
    if constexpr (kAligned) {
      Pack<V, kCount> pack;
#pragma unroll
      for (int i = 0; i < kCount; ++i) pack.at[i] = from_f32<V>(from[i]);
      store_pack<true, kCount>(row + column, pack);
    } else {
#pragma unroll
      for (int i = 0; i < kCount; ++i)
        if (inside(column + i)) row[column + i] = from_f32<V>(from[i]);
    }
  }
};

template <class Element, bool kAligned, int kPacks, bool kSeveralWarps>
struct Rows : RowPacks<Element, kAligned> {
  using RowPacks<Element, kAligned>::columns, RowPacks<Element, kAligned>::kCount;
  static constexpr bool kKeeps = kPacks > 0;  // a row is read once
  static constexpr int kSlots = kKeeps ? kPacks : 1;
  static constexpr int kMostThreads = kSeveralWarps ? 512 : 256;

  int64_t rows;
  int threads, per_block;  // threads of a row, rows of a block at a time

  Rows(int64_t row_count, int64_t column_count, int threads_per_row)
      : RowPacks<Element, kAligned>{static_cast<int>(column_count)},
        rows(row_count),
        threads(threads_per_row),
        per_block(std::max(1, 256 / threads_per_row)) {}
  unsigned block() const { return static_cast<unsigned>(threads * per_block); }
  // Blocks that take every row once.
  unsigned grid() const { return blocks_for(rows, per_block); }

  // This thread's place in its row, and its row's in the block.
  __device__ int thread() const { return static_cast<int>(threadIdx.x) % threads; }
  __device__ int row_in_block() const { return static_cast<int>(threadIdx.x) / threads; }

  // Calls f(slot, column) for each of this thread's packs: where to keep it, and its first column.
  template <class F>
  __device__ void each_pack(const F& f) const {
    if constexpr (kKeeps) {
#pragma unroll
      for (int slot = 0; slot < kPacks; ++slot) {
        const int column = (slot * threads + thread()) * kCount;
        if (column < columns) f(slot, column);
      }
    } else {
      for (int column = thread() * kCount; column < columns; column += threads * kCount) f(0, column);
    }
  }

  // Each of `values` over the threads of the row, in a fixed order. Every thread of the block calls.
  template <int kValues, class V, class Op>
  __device__ void reduce(V (&values)[kValues], V identity, Op op) const {
    if constexpr (kSeveralWarps) {
      SHARED(V, partial, [kValues][kMostThreads / kWarp]);
      const int warps = threads / kWarp, first = warp() / warps * warps;
      for (V& value : values) value = warp_reduce(value, op);
      __syncthreads();  // an earlier reduction may still be reading
      if (lane() == 0)
        for (int i = 0; i < kValues; ++i) partial[i][warp()] = values[i];
      __syncthreads();
      for (int i = 0; i < kValues; ++i)
        values[i] = warp_reduce(lane() < warps ? partial[i][first + lane()] : identity, op);
    } else {
      for (int offset = threads / 2; offset > 0; offset /= 2)
        for (V& value : values) value = op(value, __shfl_xor_sync(kAllLanes, value, offset));
    }
  }
};

inline constexpr float kLowestLogit = -std::numeric_limits<float>::infinity();

// Reads a row of logits into v and returns its maximum. A NaN is passed over; the exponential of its difference from
// the maximum brings it back. Every thread of the block calls.
template <class R>
__device__ float load_logits(const R& rows, bool is_row, const typename R::T* row, float (&v)[R::kSlots][R::kCount]) {
  float max[1] = {kLowestLogit};
  if (is_row)
    rows.each_pack([&](int slot, int column) {
      rows.load(row, column, v[slot], kLowestLogit);
#pragma unroll
      for (int i = 0; i < R::kCount; ++i) max[0] = fmaxf(max[0], v[slot][i]);
    });
  rows.reduce(max, kLowestLogit, [](float a, float b) { return fmaxf(a, b); });
  return max[0];
}

// Calls f with the Rows<T, ...> of a matrix. A thread holds at most kElements elements: fewer where the kernel needs
// registers for more than them.
template <class T, int kElements = 16, class F>
void with_rows(int64_t rows, int64_t columns, bool aligned, const F& f) {
  constexpr int kCount = kLanes<T>, kPacks = kElements / kCount, kMostThreads = 512;
  ENGINE_CHECK(columns <= 1 << 30, "CUDA: rows of ", columns, " elements are too long; at most 2^30");
  const auto packs = static_cast<unsigned>((columns + kCount - 1) / kCount);
  const unsigned threads = (packs + kPacks - 1) / kPacks;
  dispatch_bool(aligned, [&]<bool kAligned>() {
    if (packs <= kWarp)
      f(Rows<T, kAligned, 1, false>(rows, columns, static_cast<int>(std::bit_ceil(packs))));
    else if (threads <= kWarp)
      f(Rows<T, kAligned, kPacks, false>(rows, columns, static_cast<int>(std::bit_ceil(threads))));
    else if (threads <= kMostThreads)
      f(Rows<T, kAligned, kPacks, true>(rows, columns, static_cast<int>((threads + kWarp - 1) / kWarp * kWarp)));
    else
      f(Rows<T, kAligned, 0, true>(rows, columns, kMostThreads));
  });
}

}  // namespace engine
