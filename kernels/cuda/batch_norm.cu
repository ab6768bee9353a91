// Batch normalisation, channels-last. Traffic in bytes per element for f32 / bf16: forward in training 12 / 6 (x is
// read for the statistics and again to be normalised), otherwise 8 / 4, a residual 4 / 2 more, relu nothing; backward
// 20 / 10 (x and dy are read for the sums and again for dx), with relu the same: where its output was 0 is worked out
// from x. With relu and a residual 28 / 14: the first pass reads y as well and writes dresidual, which the second reads
// for dy. What the caches still hold the second time is less. Bound by memory.
//
// A block takes a piece of rows; each of its threads stays with one pack of channels and walks down the rows.
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/norm.h"

namespace engine {
namespace {

constexpr int kThreads = 256;

// x (rows, columns) in pieces of rows_per_block, a block's `across` threads side by side over the channels.
template <class Element, bool kAligned>
struct Pieces : RowPacks<Element, kAligned> {
  using RowPacks<Element, kAligned>::columns, RowPacks<Element, kAligned>::kCount;

  int64_t rows, rows_per_block;
  int across, tiles;  // threads of a block, and blocks, side by side

  // In four blocks of 256 threads for each of 132 multiprocessors, all at work at once, but with between `least` and
  // `most` rows for each thread. They are numbers of the shape, not of the device, because the order of additions
  // depends on them.
  Pieces(const ConstView& x, int64_t least, int64_t most)
      : RowPacks<Element, kAligned>{static_cast<int>(x.shape[-1])}, rows(x.elements() / columns) {
    const auto packs = static_cast<unsigned>((columns + kCount - 1) / kCount);
    across = static_cast<int>(std::min(std::bit_ceil(packs), unsigned{kWarp}));
    tiles = static_cast<int>(blocks_for(packs, across));
    const int64_t down = kThreads / across, threads = std::max(1, 4 * 132 / tiles) * down;
    rows_per_block = down * std::clamp((rows + threads - 1) / threads, least, most);
  }
  int64_t count() const { return blocks_for(rows, rows_per_block); }
  dim3 grid() const { return dim3(static_cast<unsigned>(count()), static_cast<unsigned>(tiles)); }

  // This thread's first channel and its place in the column of threads that share it.
  __device__ int channel() const {
    return (static_cast<int>(blockIdx.y) * across + static_cast<int>(threadIdx.x) % across) * kCount;
  }
  __device__ int place() const { return static_cast<int>(threadIdx.x) / across; }
  __device__ int64_t first_row() const { return blockIdx.x * rows_per_block; }
  // Calls f with the offset of each of this thread's rows.
  template <int kUnroll = kAligned ? 2 : 1, class F>  // of single elements there are too many
  __device__ void each_row(const F& f) const {
    const int64_t end = min(rows, first_row() + rows_per_block);
#pragma unroll(kUnroll)
    for (int64_t row = first_row() + place(); row < end; row += kThreads / across) f(row * columns);
  }
  // Joins what a column of threads holds into the values of the first: join(other) adds another thread's values.
  template <int kValues, class Join>
  __device__ void join_column(const float (&values)[kValues], const Join& join) const {
    SHARED(float, given, [kValues][kThreads / 2]);
    for (int step = kThreads / across / 2; step > 0; step /= 2) {
      __syncthreads();  // the step before may still be reading
      if (place() >= step && place() < 2 * step)
        for (int i = 0; i < kValues; ++i) given[i][static_cast<int>(threadIdx.x) - step * across] = values[i];
      __syncthreads();
      if (place() >= step) continue;
      float other[kValues];
#pragma unroll
      for (int i = 0; i < kValues; ++i) other[i] = given[i][threadIdx.x];
      join(other);
    }
  }
};

// Calls f.operator()<Pieces<T, ...>>().
template <class F, class... Views>
void dispatch_pieces(const ConstView& x, const F& f, const Views&... others) {
  const int64_t channels = x.shape[-1];
  ENGINE_CHECK(channels <= 1 << 20, "batch_norm: ", channels, " channels are too many for CUDA; at most 2^20");
  dispatch_device_float(x.dtype, [&]<class T>() {
    dispatch_bool(aligned16(channels, x, others...),
                  [&]<bool kAligned>() { f.template operator()<Pieces<T, kAligned>>(); });
  });
}

// Rows for each thread: for sums, and for what is element by element, where many small blocks do no harm.
constexpr int64_t kFewestSummed = 4, kMostSummed = std::numeric_limits<int32_t>::max(), kMostMapped = 16;

// A piece's moments of each channel, partial (pieces, 2, channels): the mean's difference from the piece's first row,
// which keeps the digits where a mean is far from 0, and the sum of squared differences from the mean. A thread follows
// Welford, threads are joined by Chan, Golub and LeVeque (Updating formulae and a pairwise algorithm, 1979).
template <class P>
__global__ void __launch_bounds__(kThreads, 4) moments_kernel(P pieces, const typename P::T* x, float* partial) {
  constexpr int kCount = P::kCount;
  const int channel = pieces.channel();
  const bool is_channel = channel < pieces.columns;
  float pivot[kCount] = {};
  float values[1 + 2 * kCount] = {};  // rows, means, squares
  float &count = values[0], *const mean = values + 1, *const square = mean + kCount;
  if (is_channel) {
    pieces.load(x + pieces.first_row() * pieces.columns, channel, pivot);
    pieces.each_row([&](int64_t at) {
      float v[kCount];
      pieces.load(x + at, channel, v);
      count += 1;
      const float share = 1 / count;
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const float offset = v[i] - pivot[i], difference = offset - mean[i];
        mean[i] = fmaf(difference, share, mean[i]);
        square[i] = fmaf(difference, offset - mean[i], square[i]);
      }
    });
  }
  pieces.join_column(values, [&](const float(&other)[1 + 2 * kCount]) {
    if (other[0] == 0) return;
    const float share = other[0] / (count + other[0]), weight = count * share;
    count += other[0];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float difference = other[1 + i] - mean[i];
      mean[i] = fmaf(difference, share, mean[i]);
      square[i] += fmaf(difference * difference, weight, other[1 + kCount + i]);
    }
  });
  if (!is_channel || pieces.place() > 0) return;
  float* const own = partial + int64_t{blockIdx.x} * 2 * pieces.columns;
  pieces.store(own, channel, mean);
  pieces.store(own + pieces.columns, channel, square);
}

constexpr int kColumnThreads = 32, kPieceThreads = 16;

// The sum of every column's threads, in double; each gets it.
__device__ inline double column_sum(double value) {
  SHARED(double, sums, [kPieceThreads][kColumnThreads]);
  const int lane = static_cast<int>(threadIdx.x) % kColumnThreads,
            place = static_cast<int>(threadIdx.x) / kColumnThreads;
  __syncthreads();  // an earlier sum may still be read
  sums[place][lane] = value;
  __syncthreads();
  double sum = 0;
#pragma unroll
  for (int i = 0; i < kPieceThreads; ++i) sum += sums[i][lane];
  return sum;
}

// Joins the pieces' moments in double; kPieceThreads threads share a channel.
template <class T>
__global__ void __launch_bounds__(kColumnThreads* kPieceThreads, 1)
    statistics_kernel(int64_t rows, int64_t per_piece, int64_t pieces, int channels, double eps, double momentum,
                      const T* x, const float* partial, float* mean, float* rstd, float* running_mean,
                      float* running_var) {
  const int place = static_cast<int>(threadIdx.x) / kColumnThreads;
  const int channel = static_cast<int>(blockIdx.x) * kColumnThreads + static_cast<int>(threadIdx.x) % kColumnThreads;
  const bool is_channel = channel < channels;
  const auto total = static_cast<double>(rows);
  const auto rows_in = [&](int64_t piece) { return static_cast<double>(min(per_piece, rows - piece * per_piece)); };
  const auto mean_of = [&](int64_t piece) {
    return double{to_f32(x[piece * per_piece * channels + channel])} + double{partial[2 * piece * channels + channel]};
  };
  double sum = 0, squares = 0;
  if (is_channel)
    for (int64_t piece = place; piece < pieces; piece += kPieceThreads) sum = fma(rows_in(piece), mean_of(piece), sum);
  const double m = column_sum(sum) / total;
  if (is_channel)
    for (int64_t piece = place; piece < pieces; piece += kPieceThreads) {
      const double off = mean_of(piece) - m;
      squares += fma(rows_in(piece) * off, off, static_cast<double>(partial[(2 * piece + 1) * channels + channel]));
    }
  squares = column_sum(squares);
  if (!is_channel || place > 0) return;
  mean[channel] = static_cast<float>(m);
  rstd[channel] = static_cast<float>(1 / sqrt(squares / total + eps));
  const auto move = [&](float& running, double batch) {
    running = static_cast<float>(static_cast<double>(running) + momentum * (batch - static_cast<double>(running)));
  };
  move(running_mean[channel], m);
  move(running_var[channel], squares / (total - 1));
}

// y = f((x - mean) rstd w + bias + residual). With running statistics mean and rstd are theirs, and written as well.
template <class P>
__global__ void __launch_bounds__(kThreads)
    apply_kernel(P pieces, bool relu, float eps, const typename P::T* x, const typename P::T* residual, const float* w,
                 const float* bias, const float* running_mean, const float* running_var, float* mean, float* rstd,
                 typename P::T* y) {
  constexpr int kCount = P::kCount;
  const int channel = pieces.channel();
  if (channel >= pieces.columns) return;
  float m[kCount], scale[kCount], shift[kCount], weight[kCount];
  pieces.load(running_mean ? running_mean : mean, channel, m);
  pieces.load(running_var ? running_var : rstd, channel, scale);
  pieces.load(w, channel, weight);
  pieces.load(bias, channel, shift);
  if (running_var) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) scale[i] = 1 / sqrtf(scale[i] + eps);
    if (blockIdx.x == 0 && pieces.place() == 0) pieces.store(mean, channel, m), pieces.store(rstd, channel, scale);
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) scale[i] *= weight[i];
  pieces.each_row([&](int64_t at) {
    float v[kCount], added[kCount] = {};
    pieces.load(x + at, channel, v);
    if (residual) pieces.load(residual + at, channel, added);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      v[i] = fmaf(v[i] - m[i], scale[i], shift[i]) + added[i];
      if (relu && v[i] < 0) v[i] = 0;
    }
    pieces.store(y + at, channel, v);
  });
}

// Forward's output where nothing was added, to the bit.
template <class T>
__device__ inline float output(float x, float mean, float scale, float bias) {
  return to_f32(from_f32<T>(fmaf(x - mean, scale, bias)));
}

// Where backward finds out what relu has cut off, if there was one.
enum class Relu : uint8_t { none, from_x, from_y };

// A piece's sums of dy and of dy (x - mean) rstd, partial (pieces, 2, channels). With relu, of the gradient before it;
// found from y, that is written to `before`. What relu needs takes the registers of a second row at a time, and of the
// fourth block where packs are not whole.
template <class P, Relu kRelu>
__global__ void __launch_bounds__(kThreads, kRelu == Relu::none || P::kWhole ? 4 : 3)
    backward_sums_kernel(P pieces, const typename P::T* x, const typename P::T* y, const float* w, const float* bias,
                         const float* mean, const float* rstd, const typename P::T* dy, typename P::T* before,
                         float* partial) {
  constexpr int kCount = P::kCount;
  const int channel = pieces.channel();
  const bool is_channel = channel < pieces.columns;
  float sums[2 * kCount] = {}, m[kCount] = {}, scale[kCount] = {}, shift[kCount];
  if (is_channel) {
    pieces.load(mean, channel, m);
    pieces.load(rstd, channel, scale);
    pieces.load(w, channel, shift);
#pragma unroll
    for (int i = 0; i < kCount; ++i) scale[i] *= shift[i];
    pieces.load(bias, channel, shift);
    pieces.template each_row<kRelu == Relu::none && P::kWhole ? 2 : 1>([&](int64_t at) {
      float v[kCount], g[kCount], result[kCount];
      pieces.load(x + at, channel, v);
      pieces.load(dy + at, channel, g);
      if constexpr (kRelu == Relu::from_y) pieces.load(y + at, channel, result);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if constexpr (kRelu == Relu::from_x) result[i] = output<typename P::T>(v[i], m[i], scale[i], shift[i]);
        if constexpr (kRelu != Relu::none) g[i] *= result[i] > 0 ? 1.0f : 0.0f;
        sums[i] += g[i];
        sums[kCount + i] = fmaf(g[i], v[i] - m[i], sums[kCount + i]);
      }
      if constexpr (kRelu == Relu::from_y) pieces.store(before + at, channel, g);
    });
  }
  pieces.join_column(sums, [&](const float(&other)[2 * kCount]) {
#pragma unroll
    for (int i = 0; i < 2 * kCount; ++i) sums[i] += other[i];
  });
  if (!is_channel || pieces.place() > 0) return;
  pieces.load(rstd, channel, scale);
#pragma unroll
  for (int i = 0; i < kCount; ++i) sums[kCount + i] *= scale[i];
  float* const own = partial + int64_t{blockIdx.x} * 2 * pieces.columns;
  pieces.store(own, channel, sums);
  pieces.store(own + pieces.columns, channel, sums + kCount);
}

// dx = w rstd (dy - share dbias - (x - mean) rstd share dw). kFromX: dy is relu's, and cut off here as for the sums.
template <class P, bool kFromX>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(P pieces, float share, const typename P::T* x, const float* w, const float* bias, const float* mean,
                    const float* rstd, const float* dw, const float* dbias, const typename P::T* dy,
                    typename P::T* dx) {
  constexpr int kCount = P::kCount;
  const int channel = pieces.channel();
  if (channel >= pieces.columns) return;
  float m[kCount], scale[kCount], slope[kCount], offset[kCount], s[kCount], shift[kCount];
  pieces.load(mean, channel, m);
  pieces.load(rstd, channel, s);
  pieces.load(w, channel, scale);
  pieces.load(dw, channel, slope);
  pieces.load(dbias, channel, offset);
  pieces.load(bias, channel, shift);
#pragma unroll
  for (int i = 0; i < kCount; ++i) scale[i] *= s[i], slope[i] *= share * s[i], offset[i] *= share;
  pieces.each_row([&](int64_t at) {
    float v[kCount], g[kCount];
    pieces.load(x + at, channel, v);
    pieces.load(dy + at, channel, g);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (kFromX) g[i] *= output<typename P::T>(v[i], m[i], scale[i], shift[i]) > 0 ? 1.0f : 0.0f;
      v[i] = scale[i] * fmaf(m[i] - v[i], slope[i], g[i] - offset[i]);
    }
    pieces.store(dx + at, channel, v);
  });
}

}  // namespace

void batch_norm_forward(CudaContext& ctx, const BatchNorm& p, const Unary& f, bool training, ConstView x,
                        ConstView residual, ConstView w, ConstView bias, View y, View mean, View rstd,
                        View running_mean, View running_var) {
  const char* const name = "batch_norm_forward";
  const auto run = [&]<class P>() {
    if (training) {
      const P pieces(x, kFewestSummed, kMostSummed);
      CudaScratch partial(ctx, static_cast<size_t>(pieces.count() * 2 * pieces.columns) * sizeof(float));
      launch(ctx, name, moments_kernel<P>, pieces.grid(), kThreads, 0, pieces, x, partial);
      launch(ctx, name, statistics_kernel<typename P::T>, blocks_for(pieces.columns, kColumnThreads),
             kColumnThreads * kPieceThreads, 0, pieces.rows, pieces.rows_per_block, pieces.count(), pieces.columns,
             p.eps, p.momentum, x, partial, mean, rstd, running_mean, running_var);
    }
    const P pieces(x, 1, kMostMapped);
    launch(ctx, name, apply_kernel<P>, pieces.grid(), kThreads, 0, pieces, f.op == Unary::relu, p.eps, x, residual, w,
           bias, training ? View() : running_mean, training ? View() : running_var, mean, rstd, y);
  };
  dispatch_pieces(x, run, residual, w, bias, y, mean, rstd, running_mean, running_var);
}

void batch_norm_backward(CudaContext& ctx, bool training, ConstView x, ConstView y, ConstView w, ConstView bias,
                         ConstView mean, ConstView rstd, ConstView dy, View dx, View dresidual, View dw, View dbias) {
  const char* const name = "batch_norm_backward";
  const auto run = [&]<Relu kRelu>() {
    const auto launch_all = [&]<class P>() {
      const P reducing(x, kFewestSummed, kMostSummed), mapping(x, 1, kMostMapped);
      CudaScratch partial(ctx, static_cast<size_t>(reducing.count() * 2 * reducing.columns) * sizeof(float));
      launch(ctx, name, backward_sums_kernel<P, kRelu>, reducing.grid(), kThreads, 0, reducing, x, y, w, bias, mean,
             rstd, dy, dresidual, partial);
      add_partial_sums(ctx, name, reducing.count(), reducing.columns, partial.as<float>(), dbias, dw);
      const float share = training ? 1 / static_cast<float>(reducing.rows) : 0.0f;
      launch(ctx, name, backward_kernel<P, kRelu == Relu::from_x>, mapping.grid(), kThreads, 0, mapping, share, x, w,
             bias, mean, rstd, dw, dbias, dresidual.defined() ? dresidual : dy, dx);
    };
    dispatch_pieces(x, launch_all, y, w, bias, mean, rstd, dy, dx, dresidual, dw, dbias);
  };
  if (!y.defined()) return run.template operator()<Relu::none>();
  dresidual.defined() ? run.template operator()<Relu::from_y>() : run.template operator()<Relu::from_x>();
}

}  // namespace engine
