// Attention of at most 128 queries and keys of at most 128 elements: forward in one kernel, backward in one. Traffic in
// bytes per row and head for f32 / bf16: forward 16 D / 8 D, backward 32 D / 16 D, as its second half finds what it
// reads in the L2 cache. Bound by f32 multiply-adds and the shared memory that feeds them from about 32 keys on, by
// memory below. Longer sequences go to cuDNN where it can do them (kernels/cuda/sdpa.h); what is left, and wider heads,
// go by products of matrices (kernels/attention_composed.h).
//
// A block has one head of one batch. It holds the rows that everything is multiplied by (forward: k and v) as f32 in
// shared memory; each warp takes kRows rows of its own (queries) at a time. Backward is two independent halves, each
// recomputing the probabilities from lse: dq by rows of queries against k and v, and dk and dv by rows of keys against
// q and dy, so that no two blocks or warps write the same sum.
#include "kernels/attention_composed.h"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/sdpa.h"

namespace engine {
namespace {

constexpr int kMost = 128;              // rows, and elements of a row
constexpr int kRows = 4;                // of a warp at a time
constexpr int kSlices = kMost / kWarp;  // a lane has columns lane, lane + 32, ... of its warp's rows
constexpr int kMostWarps = 8;

using Tile = float[kRows][kSlices];

// A view (N, rows, H, D).
template <class T>
struct Heads {
  T* data;
  int64_t batch, row, head;  // strides

  template <class V>
  Heads(const V& v)
      : data(v.template as<std::remove_const_t<T>>()), batch(v.strides[0]), row(v.strides[1]), head(v.strides[2]) {}
  // True where 4 elements of a row may be read at once.
  bool aligned() const {
    return reinterpret_cast<uintptr_t>(data) % (4 * sizeof(T)) == 0 && (batch | row | head) % 4 == 0;
  }
  // The first row of this block's head.
  __device__ T* of_block(int heads) const { return data + blockIdx.x / heads * batch + blockIdx.x % heads * head; }
};

struct Sizes {
  AttentionMask mask;
  float scale;
  int columns;        // D
  int pitch;          // floats from row to row in shared memory: an odd multiple of 4, so that 8 rows meet 32 banks
  int weights_pitch;  // of a row of weights: the number of rows that a block holds, rounded up to 4
  bool aligned;       // q, k, v and dy may be read 4 elements at a time
};

__device__ inline int warps() { return static_cast<int>(blockDim.x) / kWarp; }
__host__ __device__ inline int up_to_4(int count) { return (count + 3) / 4 * 4; }

// `rows` rows of one head to shared memory by `threads` threads; zeros behind them up to `padded` rows, and behind each
// row up to the pitch.
template <class T>
__device__ void load_rows(const Sizes& sizes, const T* from, int64_t row_stride, int rows, int padded, float* to,
                          int thread, int threads) {
  const int groups = sizes.pitch / 4;
  for (int i = thread; i < padded * groups; i += threads) {
    const int row = i / groups, column = i % groups * 4;
    Pack<float, 4> values{};
    if (row < rows && column < sizes.columns) {
      const T* const source = from + row * row_stride + column;
      if (sizes.aligned) {
        const auto pack = load_pack<true, 4>(source);
#pragma unroll
        for (int k = 0; k < 4; ++k) values.at[k] = to_f32(pack.at[k]);
      } else {
#pragma unroll
        for (int k = 0; k < 4; ++k)
          if (column + k < sizes.columns) values.at[k] = to_f32(source[k]);
      }
    }
    store_pack<true, 4>(to + row * sizes.pitch + column, values);
  }
}

// products[r][j] = own[r] . others[lane + 32 j], for the others before `count`.
__device__ inline void multiply(const Sizes& sizes, const float* own, const float* others, int count, Tile& products) {
#pragma unroll
  for (int j = 0; j < kSlices; ++j) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) products[r][j] = 0;
    if (j * kWarp >= count) continue;
    const int other = j * kWarp + lane() < count ? j * kWarp + lane() : count - 1;
    for (int c = 0; c < sizes.columns; c += 4) {
      const auto b = load_pack<true, 4>(others + other * sizes.pitch + c);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const auto a = load_pack<true, 4>(own + r * sizes.pitch + c);
#pragma unroll
        for (int k = 0; k < 4; ++k) products[r][j] = fmaf(a.at[k], b.at[k], products[r][j]);
      }
    }
  }
}

// to[r] = sum over the others of weights[r][other] others[other], for the `rows` first of kRows rows.
template <class T>
__device__ void weighted_sums(const Sizes& sizes, const float* weights, const float* others, int count, int rows, T* to,
                              int64_t row_stride) {
  Tile sums = {};
  for (int o = 0; o < count; o += 4) {
    Pack<float, 4> w[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) w[r] = load_pack<true, 4>(weights + r * sizes.weights_pitch + o);
#pragma unroll
    for (int j = 0; j < kSlices; ++j) {
      const int column = j * kWarp + lane();
      if (column >= sizes.columns) continue;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const float value = others[(o + k) * sizes.pitch + column];
#pragma unroll
        for (int r = 0; r < kRows; ++r) sums[r][j] = fmaf(w[r].at[k], value, sums[r][j]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int j = 0; j < kSlices; ++j)
      if (r < rows && j * kWarp + lane() < sizes.columns)
        to[r * row_stride + j * kWarp + lane()] = from_f32<T>(sums[r][j]);
}

// Stores one row of weights; the columns between the others and the pitch are 0.
__device__ inline void store_weights(const Sizes& sizes, const float (&values)[kSlices], float* row) {
#pragma unroll
  for (int j = 0; j < kSlices; ++j)
    if (j * kWarp + lane() < sizes.weights_pitch) row[j * kWarp + lane()] = values[j];
}

template <class T>
__global__ void forward_kernel(Sizes sizes, Heads<const T> q, Heads<const T> k, Heads<const T> v, Heads<T> y,
                               float* lse) {
  SHARED_DYN(float, memory);
  const AttentionMask& mask = sizes.mask;
  const int padded = up_to_4(mask.keys), thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  float* const key_rows = memory;
  float* const value_rows = key_rows + padded * sizes.pitch;
  float* const own = value_rows + padded * sizes.pitch + warp() * kRows * (sizes.pitch + sizes.weights_pitch);
  float* const weights = own + kRows * sizes.pitch;
  load_rows(sizes, k.of_block(mask.heads), k.row, mask.keys, padded, key_rows, thread, threads);
  load_rows(sizes, v.of_block(mask.heads), v.row, mask.keys, padded, value_rows, thread, threads);
  __syncthreads();
  for (int first = warp() * kRows; first < mask.queries; first += warps() * kRows) {
    const int rows = mask.queries - first < kRows ? mask.queries - first : kRows;
    load_rows(sizes, q.of_block(mask.heads) + first * q.row, q.row, rows, kRows, own, lane(), kWarp);
    __syncwarp();
    Tile x;
    multiply(sizes, own, key_rows, mask.keys, x);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int seen = mask.seen(blockIdx.x / mask.heads, first + r);
      const int64_t row = int64_t{blockIdx.x} * mask.queries + first + r;
      float max = -INFINITY, sum = 0;
#pragma unroll
      for (int j = 0; j < kSlices; ++j) {
        x[r][j] *= sizes.scale;
        if (j * kWarp + lane() < seen) max = Max{}(max, x[r][j]);
      }
      max = warp_reduce(max, Max{});
#pragma unroll
      for (int j = 0; j < kSlices; ++j) {
        x[r][j] = j * kWarp + lane() < seen ? expf(x[r][j] - max) : 0.0f;
        sum += x[r][j];
      }
      sum = warp_reduce(sum, Sum{});
#pragma unroll
      for (int j = 0; j < kSlices; ++j)
        if (j * kWarp + lane() < seen) x[r][j] *= mask.factor(row * mask.keys + j * kWarp + lane()) / sum;
      store_weights(sizes, x[r], weights + r * sizes.weights_pitch);
      if (lane() == 0 && r < rows) lse[row] = seen > 0 ? max + logf(sum) : -INFINITY;
    }
    __syncwarp();
    weighted_sums(sizes, weights, value_rows, mask.keys, rows, y.of_block(mask.heads) + first * y.row, y.row);
    __syncwarp();
  }
}

// With P = softmax(z), z = scale q . k, and dP = factor (dy . v): dz = P (dP - dy . y).
template <class T>
struct Gradients {
  Heads<const T> q, k, v, y, dy;
  Heads<T> dq, dk, dv;
  const float* lse;
};

// The rows of one side: queries (kOfQueries: dq) or keys (dk and dv), against those of the other.
template <bool kOfQueries, class T>
__device__ void backward_side(const Sizes& sizes, const Gradients<T>& g, float* memory) {
  const AttentionMask& mask = sizes.mask;
  const int own_count = kOfQueries ? mask.queries : mask.keys, other_count = kOfQueries ? mask.keys : mask.queries;
  const Heads<const T>& own_a = kOfQueries ? g.q : g.k;
  const Heads<const T>& own_b = kOfQueries ? g.dy : g.v;
  const Heads<const T>& other_a = kOfQueries ? g.k : g.q;
  const Heads<const T>& other_b = kOfQueries ? g.v : g.dy;
  const int padded = up_to_4(other_count), thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x), own_floats = kRows * sizes.pitch;
  const int weight_floats = kRows * sizes.weights_pitch;
  float* const dots = memory;  // dy . y of every query
  float* const rows_a = dots + kMost;
  float* const rows_b = rows_a + padded * sizes.pitch;
  float* const a = rows_b + padded * sizes.pitch + warp() * 2 * (own_floats + weight_floats);
  float* const b = a + own_floats;
  float* const weights_a = b + own_floats;
  float* const weights_b = weights_a + weight_floats;
  load_rows(sizes, other_a.of_block(mask.heads), other_a.row, other_count, padded, rows_a, thread, threads);
  load_rows(sizes, other_b.of_block(mask.heads), other_b.row, other_count, padded, rows_b, thread, threads);
  for (int s = warp(); s < mask.queries; s += warps()) {
    const T *const y = g.y.of_block(mask.heads) + s * g.y.row, *const dy = g.dy.of_block(mask.heads) + s * g.dy.row;
    float dot = 0;
    for (int c = lane(); c < sizes.columns; c += kWarp) dot = fmaf(to_f32(y[c]), to_f32(dy[c]), dot);
    dot = warp_reduce(dot, Sum{});
    if (lane() == 0) dots[s] = dot;
  }
  __syncthreads();
  for (int first = warp() * kRows; first < own_count; first += warps() * kRows) {
    const int rows = own_count - first < kRows ? own_count - first : kRows;
    load_rows(sizes, own_a.of_block(mask.heads) + first * own_a.row, own_a.row, rows, kRows, a, lane(), kWarp);
    load_rows(sizes, own_b.of_block(mask.heads) + first * own_b.row, own_b.row, rows, kRows, b, lane(), kWarp);
    __syncwarp();
    Tile x, dx;
    multiply(sizes, a, rows_a, other_count, x);
    multiply(sizes, b, rows_b, other_count, dx);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float kept[kSlices];
#pragma unroll
      for (int j = 0; j < kSlices; ++j) {
        const int own = first + r, other = j * kWarp + lane();
        const int s = kOfQueries ? own : other, l = kOfQueries ? other : own;
        float dz = 0, probability = 0;
        if (r < rows && other < other_count && l < mask.seen(blockIdx.x / mask.heads, s)) {
          const int64_t row = int64_t{blockIdx.x} * mask.queries + s;
          const float p = expf(sizes.scale * x[r][j] - g.lse[row]), factor = mask.factor(row * mask.keys + l);
          dz = p * (factor * dx[r][j] - dots[s]);
          probability = p * factor;
        }
        x[r][j] = sizes.scale * dz;
        kept[j] = probability;
      }
      store_weights(sizes, x[r], weights_a + r * sizes.weights_pitch);
      if (!kOfQueries) store_weights(sizes, kept, weights_b + r * sizes.weights_pitch);
    }
    __syncwarp();
    const Heads<T>& to_a = kOfQueries ? g.dq : g.dk;
    weighted_sums(sizes, weights_a, rows_a, other_count, rows, to_a.of_block(mask.heads) + first * to_a.row, to_a.row);
    if (!kOfQueries)
      weighted_sums(sizes, weights_b, rows_b, other_count, rows, g.dv.of_block(mask.heads) + first * g.dv.row,
                    g.dv.row);
    __syncwarp();
  }
}

template <class T>
__global__ void backward_kernel(Sizes sizes, Gradients<T> g) {
  SHARED_DYN(float, memory);
  if (blockIdx.y == 0)
    backward_side<true>(sizes, g, memory);
  else
    backward_side<false>(sizes, g, memory);
}

bool fits_one_block(const ConstView& q, const ConstView& k) {
  return std::max({q.shape[1], k.shape[1], q.shape[3]}) <= kMost;
}

// `others`: the most rows that a block holds.
Sizes sizes_of(const Attention& p, const ConstView& q, const ConstView& k, const ConstView& lengths,
               const ConstView& step, int64_t others, bool aligned) {
  const int columns = static_cast<int>(q.shape[3]);
  return {.mask = AttentionMask(p, q.shape[2], q.shape[1], k.shape[1], lengths, step),
          .scale = static_cast<float>(p.scale),
          .columns = columns,
          .pitch = 4 * ((columns + 3) / 4 | 1),
          .weights_pitch = up_to_4(static_cast<int>(others)),
          .aligned = aligned && columns % 4 == 0};
}

unsigned warps_for(int64_t rows) {
  return static_cast<unsigned>(std::clamp<int64_t>((rows + kRows - 1) / kRows, 1, kMostWarps));
}

}  // namespace

void attention_forward(CudaContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                       ConstView step, View y, View lse) {
  if (sdpa_forward(ctx, p, q, k, v, lengths, y, lse)) return;
  if (!fits_one_block(q, k)) return attention_composed::forward(ctx, p, q, k, v, lengths, step, y, lse);
  dispatch_device_float(q.dtype, [&]<class T>() {
    const Heads<const T> queries(q), keys(k), values(v);
    const bool aligned = queries.aligned() && keys.aligned() && values.aligned();
    const Sizes sizes = sizes_of(p, q, k, lengths, step, k.shape[1], aligned);
    const unsigned warps = warps_for(q.shape[1]);
    const size_t floats = static_cast<size_t>(2 * sizes.weights_pitch * sizes.pitch) +
                          warps * kRows * static_cast<size_t>(sizes.pitch + sizes.weights_pitch);
    launch(ctx, "attention", forward_kernel<T>, blocks_for(q.shape[0] * q.shape[2], 1), warps * kWarp,
           floats * sizeof(float), sizes, queries, keys, values, Heads<T>(y), lse);
  });
}

void attention_backward(CudaContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                        ConstView step, ConstView y, ConstView lse, ConstView dy, View dq, View dk, View dv) {
  if (sdpa_backward(ctx, p, q, k, v, lengths, y, lse, dy, dq, dk, dv)) return;
  if (!fits_one_block(q, k)) return attention_composed::backward(ctx, p, q, k, v, lengths, step, lse, dy, dq, dk, dv);
  dispatch_device_float(q.dtype, [&]<class T>() {
    const Gradients<T> g{q, k, v, y, dy, dq, dk, dv, lse.as<float>()};
    const bool aligned = g.q.aligned() && g.k.aligned() && g.v.aligned() && g.dy.aligned();
    const int64_t longer = std::max(q.shape[1], k.shape[1]);
    const Sizes sizes = sizes_of(p, q, k, lengths, step, longer, aligned);
    const unsigned warps = warps_for(longer);
    const size_t floats = kMost + static_cast<size_t>(2 * sizes.weights_pitch * sizes.pitch) +
                          2 * warps * kRows * static_cast<size_t>(sizes.pitch + sizes.weights_pitch);
    launch(ctx, "attention", backward_kernel<T>, dim3(blocks_for(q.shape[0] * q.shape[2], 1), 2), warps * kWarp,
           floats * sizeof(float), sizes, g);
  });
}

}  // namespace engine
