// Sums, means and maxima. Sums read every element once (4 / 2 bytes per element in f32 / bf16); bound by memory for
// long inputs, by the two or three launches for short ones. Partial sums are f32, of pieces whose length is fixed, so
// that the order of additions depends on the shape alone.
#include "kernels/reduce.h"

#include "kernels/copy.h"
#include "kernels/cuda/device.h"

namespace engine {
namespace {

constexpr int kThreads = 256;
constexpr int kPacksPerThread = 8;  // of a row's piece
constexpr int64_t kRowsPerPiece = 512;
constexpr int kColumnThreads = 32, kRowThreads = kThreads / kColumnThreads;

// Sums of pieces of rows: y[row * pieces + piece] = scale * sum of the piece. kPerRow threads share a piece.
template <bool kAligned, int kPerRow, class In, class Out>
__global__ void sum_rows_kernel(int64_t rows, int64_t count, int pieces, float scale, const In* x, Out* y) {
  constexpr int kCount = kLanes<In>;
  const int64_t row = int64_t{blockIdx.x} * (kThreads / kPerRow) + threadIdx.x / kPerRow;
  const int member = static_cast<int>(threadIdx.x) % kPerRow, piece = static_cast<int>(blockIdx.y);
  float sum = 0;
  if (row < rows) {
    const int64_t length = int64_t{kPerRow} * kPacksPerThread * kCount, begin = piece * length;
    const int64_t end = begin + length < count ? begin + length : count;
    const In* const from = x + row * count;
    for (int64_t i = begin + member * kCount; i < end; i += kPerRow * kCount) {
      if (i + kCount <= end) {
        const auto pack = load_pack<kAligned, kCount>(from + i);
#pragma unroll
        for (int k = 0; k < kCount; ++k) sum += to_f32(pack.at[k]);
      } else {
        for (int64_t k = i; k < end; ++k) sum += to_f32(from[k]);
      }
    }
  }
  sum = kPerRow == kWarp ? warp_reduce(sum, Sum{}) : block_reduce(sum, 0.0f, Sum{});
  if (row < rows && member == 0) y[row * pieces + piece] = from_f32<Out>(scale * sum);
}

// y[row] = scale * sum of row `row` of x (rows, count); partial sums in turn where a row has several pieces.
template <class In, class Out>
void sum_rows(CudaContext& ctx, int64_t rows, int64_t count, float scale, const In* x, Out* y) {
  constexpr int kCount = kLanes<In>;
  const bool aligned = reinterpret_cast<uintptr_t>(x) % 16 == 0 && count % kCount == 0;
  const bool is_short = count <= kWarp * kPacksPerThread * kCount;
  const int64_t pieces = is_short ? 1 : blocks_for(count, int64_t{kThreads} * kPacksPerThread * kCount);
  dispatch_bool(aligned, [&]<bool kAligned>() {
    dispatch_bool(is_short, [&]<bool kShort>() {
      constexpr int kPerRow = kShort ? kWarp : kThreads;
      const auto sum = [&]<class To>(float factor, To* to) {
        launch(ctx, "sum", sum_rows_kernel<kAligned, kPerRow, In, To>,
               dim3(blocks_for(rows, kThreads / kPerRow), static_cast<unsigned>(pieces)), kThreads, 0, rows, count,
               pieces, factor, x, to);
      };
      if (pieces == 1) return sum(scale, y);
      ENGINE_CHECK(pieces <= 65535, "sum: rows of ", count, " elements are too long for CUDA");
      CudaScratch partial(ctx, static_cast<size_t>(rows * pieces) * sizeof(float));
      sum(1.0f, partial.as<float>());
      sum_rows<float, Out>(ctx, rows, pieces, scale, partial.as<float>(), y);
    });
  });
}

// Sums of pieces of columns, of x (outer, count, inner): y[outer][piece][column]. Neighbouring threads take
// neighbouring columns, kCount each; kRowThreads rows of threads share a piece.
template <bool kAligned, int kCount, class In, class Out>
__global__ void sum_columns_kernel(int64_t count, int64_t inner, int pieces, float scale, const In* x, Out* y) {
  SHARED(float, partial, [kRowThreads][kColumnThreads * kCount]);
  const int lane = static_cast<int>(threadIdx.x) % kColumnThreads, r = static_cast<int>(threadIdx.x) / kColumnThreads;
  const int64_t first_column = (int64_t{blockIdx.x} * kColumnThreads + lane) * kCount;
  const int64_t piece = blockIdx.y, outer = blockIdx.z;
  const int64_t begin = piece * kRowsPerPiece, end = begin + kRowsPerPiece < count ? begin + kRowsPerPiece : count;
  float sums[kCount] = {};
  if (first_column < inner) {
    const In* const from = x + outer * count * inner + first_column;
    for (int64_t row = begin + r; row < end; row += kRowThreads) {
      if (kCount == 1 || first_column + kCount <= inner) {
        const auto pack = load_pack<kAligned, kCount>(from + row * inner);
#pragma unroll
        for (int k = 0; k < kCount; ++k) sums[k] += to_f32(pack.at[k]);
      } else {
#pragma unroll
        for (int k = 0; k < kCount; ++k)
          if (first_column + k < inner) sums[k] += to_f32(from[row * inner + k]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kCount; ++k) partial[r][lane * kCount + k] = sums[k];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kColumnThreads * kCount; i += kThreads) {
    const int64_t column = int64_t{blockIdx.x} * kColumnThreads * kCount + i;
    if (column >= inner) continue;
    float sum = 0;
    for (int k = 0; k < kRowThreads; ++k) sum += partial[k][i];
    y[(outer * pieces + piece) * inner + column] = from_f32<Out>(scale * sum);
  }
}

template <class In, class Out>
void sum_columns(CudaContext& ctx, const ReduceExtents& e, float scale, const In* x, Out* y) {
  const bool wide = e.inner >= kColumnThreads * kLanes<In>;
  const bool aligned = reinterpret_cast<uintptr_t>(x) % 16 == 0 && e.inner % kLanes<In> == 0;
  const int64_t pieces = blocks_for(e.count, kRowsPerPiece);
  ENGINE_CHECK(pieces <= 65535 && e.outer <= 65535, "sum: too many rows for CUDA: ", e.outer, " times ", e.count);
  dispatch_bool(aligned && wide, [&]<bool kAligned>() {
    dispatch_bool(wide, [&]<bool kWide>() {
      if constexpr (kWide || !kAligned) {
        constexpr int kCount = kWide ? kLanes<In> : 1;
        const auto sum = [&]<class To>(float factor, To* to) {
          launch(ctx, "sum", sum_columns_kernel<kAligned, kCount, In, To>,
                 dim3(blocks_for(e.inner, kColumnThreads * kCount), static_cast<unsigned>(pieces),
                      static_cast<unsigned>(e.outer)),
                 kThreads, 0, e.count, e.inner, pieces, factor, x, to);
        };
        if (pieces == 1) return sum(scale, y);
        CudaScratch partial(ctx, static_cast<size_t>(e.outer * pieces * e.inner) * sizeof(float));
        sum(1.0f, partial.as<float>());
        ReduceExtents rest = e;
        rest.count = pieces;
        sum_columns<float, Out>(ctx, rest, scale, partial.as<float>(), y);
      }
    });
  });
}

// The position along the reduced axis of the first maximal element of output k.
template <class T>
__device__ inline int64_t first_max(const ReduceExtents& e, const T* x, int64_t k) {
  return e.first_max(k, [x](int64_t at) { return to_f32(x[at]); });
}

// One thread per output; the axis is short where this is used (classes, frames).
template <class T>
__global__ void max_kernel(ReduceExtents e, const T* x, T* y) {
  const int64_t k = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (k < e.outer * e.inner) y[k] = x[e.first_of(k) + first_max(e, x, k) * e.inner];
}
template <class T>
__global__ void argmax_kernel(ReduceExtents e, const T* x, int64_t* y) {
  const int64_t k = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (k < e.outer * e.inner) y[k] = first_max(e, x, k);
}
template <class T>
__global__ void max_backward_kernel(ReduceExtents e, const T* x, const T* dy, T* dx) {
  const int64_t k = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (k >= e.outer * e.inner) return;
  const int64_t best = first_max(e, x, k);
  T* const column = dx + e.first_of(k);
  for (int64_t c = 0; c < e.count; ++c) column[c * e.inner] = c == best ? dy[k] : from_f32<T>(0.0f);
}

// dx[o][c][i] = scale * dy[o][i], kLanes neighbours per thread.
template <bool kAligned, class T>
__global__ void spread_kernel(ReduceExtents e, float scale, const T* dy, T* dx) {
  constexpr int kCount = kLanes<T>;
  const int64_t count = e.outer * e.count * e.inner;
  const int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kCount;
  if (first >= count) return;
  int64_t i = first % e.inner, c = first / e.inner % e.count, o = first / e.inner / e.count;
  Pack<T> pack;
#pragma unroll
  for (int k = 0; k < kCount; ++k) {
    if (first + k < count) pack.at[k] = from_f32<T>(scale * to_f32(dy[o * e.inner + i]));
    if (++i == e.inner) i = 0, ++c;
    if (c == e.count) c = 0, ++o;
  }
  if (first + kCount <= count) {
    store_pack<kAligned, kCount>(dx + first, pack);
  } else {
#pragma unroll
    for (int k = 0; k < kCount; ++k)
      if (first + k < count) dx[first + k] = pack.at[k];
  }
}

}  // namespace

void reduce_forward(CudaContext& ctx, const Reduce& p, ConstView x, View y) {
  const ReduceExtents e(p, x.shape);
  if (y.elements() == 0) return;
  dispatch_device_float(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    T* out = y.as<T>();
    if (p.op == Reduce::max)
      return launch(ctx, "max", max_kernel<T>, blocks_for(y.elements(), kThreads), kThreads, 0, e, in, out);
    if (e.count == 0) return fill(ctx, y, 0.0);
    const float scale = p.op == Reduce::mean ? 1.0f / static_cast<float>(e.count) : 1.0f;
    if (e.inner == 1) return sum_rows(ctx, e.outer, e.count, scale, in, out);
    sum_columns(ctx, e, scale, in, out);
  });
}

void reduce_backward(CudaContext& ctx, const Reduce& p, ConstView x, ConstView dy, View dx) {
  const ReduceExtents e(p, dx.shape);
  if (dx.elements() == 0) return;
  dispatch_device_float(dy.dtype, [&]<class T>() {
    if (p.op == Reduce::max)
      return launch(ctx, "max_backward", max_backward_kernel<T>, blocks_for(dy.elements(), kThreads), kThreads, 0, e, x,
                    dy, dx);
    const float scale = p.op == Reduce::mean ? 1.0f / static_cast<float>(e.count) : 1.0f;
    dispatch_bool(aligned16(0, dx), [&]<bool kAligned>() {
      launch(ctx, "reduce_backward", spread_kernel<kAligned, T>, blocks_for(dx.elements(), kThreads * kLanes<T>),
             kThreads, 0, e, scale, dy, dx);
    });
  });
}

void argmax(CudaContext& ctx, ConstView x, View y) {
  const ReduceExtents e(Reduce{Reduce::max, x.shape.rank() - 1, x.shape.rank()}, x.shape);
  dispatch_device_float(x.dtype, [&]<class T>() {
    launch(ctx, "argmax", argmax_kernel<T>, blocks_for(y.elements(), kThreads), kThreads, 0, e, x, y);
  });
}

}  // namespace engine
