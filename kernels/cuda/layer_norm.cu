// Layer normalisation. Traffic in bytes per element for f32 / bf16: forward 8 / 4, with a residual 16 / 8, backward
// 12 / 6, with dsum 16 / 8; dropout adds nothing forward, as its mask is drawn again, and 4 / 2 backward, where the two
// gradients differ. Weights and the sums of dw and dbias stay in the caches. Rows of more than 8192 elements are read
// once more per pass, from the caches. Bound by memory.
//
// Backward: a block takes rows in turns and sums its part of dw and dbias in registers; a second kernel adds up what
// the blocks have (the design of FastLayerNorm in NVIDIA's apex).
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/norm.h"

namespace engine {
namespace {

// `residual` and `sum` may be null.
template <class R>
__global__ void __launch_bounds__(R::kMostThreads, 1)
    layer_norm_forward_kernel(R rows, float eps, DropoutMask mask, const typename R::T* x,
                              const typename R::T* residual, const float* w, const float* bias, typename R::T* y,
                              typename R::T* sum, float* mean, float* rstd) {
  using T = typename R::T;
  const int64_t row = int64_t{blockIdx.x} * rows.per_block + rows.row_in_block(), at = row * rows.columns;
  const bool is_row = row < rows.rows;
  float v[R::kSlots][R::kCount] = {};
  const auto load = [&](int slot, int column) {
    rows.load(x + at, column, v[slot]);
    if (residual == nullptr) return;
    if (mask.threshold) mask.apply<T, R::kWhole>(at + column, v[slot]);
    float added[R::kCount];
    rows.load(residual + at, column, added);
#pragma unroll
    for (int i = 0; i < R::kCount; ++i) v[slot][i] += added[i];
  };

  // In two passes, and by differences from one of the values, so that a mean far from 0 costs no digits.
  float pivot = 0, total[1] = {0};
  if (is_row) {
    float start[1] = {to_f32(x[at])};
    if (mask.threshold) mask.apply<T, R::kWhole>(at, start);
    pivot = start[0] + (residual ? to_f32(residual[at]) : 0.0f);
    rows.each_pack([&](int slot, int column) {
      load(slot, column);
      if (sum) rows.store(sum + at, column, v[slot]);
#pragma unroll
      for (int i = 0; i < R::kCount; ++i) total[0] += rows.inside(column + i) ? v[slot][i] - pivot : 0.0f;
    });
  }
  rows.reduce(total, 0.0f, Sum{});
  const float scale = 1.0f / static_cast<float>(rows.columns), m = fmaf(total[0], scale, pivot);

  float squares[1] = {0};
  if (is_row)
    rows.each_pack([&](int slot, int column) {
      if (!R::kKeeps) load(slot, column);
#pragma unroll
      for (int i = 0; i < R::kCount; ++i) {
        const float difference = rows.inside(column + i) ? v[slot][i] - m : 0.0f;
        squares[0] = fmaf(difference, difference, squares[0]);
      }
    });
  rows.reduce(squares, 0.0f, Sum{});
  const float s = 1.0f / sqrtf(fmaf(squares[0], scale, eps));

  if (!is_row) return;
  rows.each_pack([&](int slot, int column) {
    if (!R::kKeeps) load(slot, column);
    float weight[R::kCount], shift[R::kCount];
    rows.load(w, column, weight);
    rows.load(bias, column, shift);
#pragma unroll
    for (int i = 0; i < R::kCount; ++i) weight[i] = fmaf((v[slot][i] - m) * s, weight[i], shift[i]);
    rows.store(y + at, column, weight);
  });
  if (rows.thread() == 0) mean[row] = m, rstd[row] = s;
}

// partial (blocks, 2, columns): sums of dw and dbias over the rows that a block takes. `dsum` may be null, and so may
// `dresidual` where nothing is dropped.
template <class R>
__global__ void __launch_bounds__(R::kMostThreads, 1)
    layer_norm_backward_kernel(R rows, DropoutMask mask, const typename R::T* x, const float* w, const float* mean,
                               const float* rstd, const typename R::T* dy, const typename R::T* dsum, typename R::T* dx,
                               typename R::T* dresidual, float* partial) {
  using T = typename R::T;
  using Values = float[R::kSlots][R::kCount];
  const int64_t step = int64_t{gridDim.x} * rows.per_block, begin = int64_t{blockIdx.x} * rows.per_block;
  const float scale = 1.0f / static_cast<float>(rows.columns);
  float* const sums = partial + int64_t{blockIdx.x} * 2 * rows.columns;
  Values weight = {}, dw = {}, dbias = {};
  if (R::kKeeps) rows.each_pack([&](int slot, int column) { rows.load(w, column, weight[slot]); });

  for (int64_t first = begin; first < rows.rows; first += step) {
    const int64_t row = first + rows.row_in_block(), at = row * rows.columns;
    const bool is_row = row < rows.rows;
    const float m = is_row ? mean[row] : 0.0f, s = is_row ? rstd[row] : 0.0f;
    Values normalised = {}, g = {};
    const auto load = [&](int slot, int column) {
      rows.load(x + at, column, normalised[slot], m);
      rows.load(dy + at, column, g[slot]);
      if (!R::kKeeps) rows.load(w, column, weight[slot]);
#pragma unroll
      for (int i = 0; i < R::kCount; ++i) normalised[slot][i] = (normalised[slot][i] - m) * s;
    };

    float means[2] = {0, 0};  // of dy w, and of dy w normalised
    if (is_row)
      rows.each_pack([&](int slot, int column) {
        load(slot, column);
#pragma unroll
        for (int i = 0; i < R::kCount; ++i) {
          means[0] = fmaf(g[slot][i], weight[slot][i], means[0]);
          means[1] = fmaf(g[slot][i] * weight[slot][i], normalised[slot][i], means[1]);
        }
      });
    rows.reduce(means, 0.0f, Sum{});
    means[0] *= scale, means[1] *= scale;

    if (is_row)
      rows.each_pack([&](int slot, int column) {
        if (!R::kKeeps) {
          load(slot, column);
          if (first == begin) {
#pragma unroll
            for (int i = 0; i < R::kCount; ++i) dw[0][i] = dbias[0][i] = 0;
          } else {
            rows.load(sums, column, dw[0]);
            rows.load(sums + rows.columns, column, dbias[0]);
          }
        }
        float out[R::kCount], further[R::kCount] = {};
        if (dsum) rows.load(dsum + at, column, further);
#pragma unroll
        for (int i = 0; i < R::kCount; ++i) {
          const float each = g[slot][i], n = normalised[slot][i];
          out[i] = fmaf(s, fmaf(-n, means[1], fmaf(each, weight[slot][i], -means[0])), further[i]);
          dw[slot][i] = fmaf(each, n, dw[slot][i]);
          dbias[slot][i] += each;
        }
        if (mask.threshold) {
          rows.store(dresidual + at, column, out);
#pragma unroll
          for (int i = 0; i < R::kCount; ++i) out[i] = to_f32(from_f32<T>(out[i]));
          mask.apply<T, R::kWhole>(at + column, out);
        }
        rows.store(dx + at, column, out);
        if (!R::kKeeps) {
          rows.store(sums, column, dw[0]);
          rows.store(sums + rows.columns, column, dbias[0]);
        }
      });
  }

  if (!R::kKeeps) return;
  SHARED_DYN(float, tile);  // (rows in the block, 2, columns) where there are several
  float* const own = rows.per_block == 1 ? sums : tile + rows.row_in_block() * 2 * rows.columns;
  rows.each_pack([&](int slot, int column) {
    rows.store(own, column, dw[slot]);
    rows.store(own + rows.columns, column, dbias[slot]);
  });
  if (rows.per_block == 1) return;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < 2 * rows.columns; i += static_cast<int>(blockDim.x)) {
    float sum = tile[i];
    for (int k = 1; k < rows.per_block; ++k) sum += tile[k * 2 * rows.columns + i];
    sums[i] = sum;
  }
}

}  // namespace

void layer_norm_forward(CudaContext& ctx, const LayerNorm& p, const Dropout& d, ConstView step, ConstView x,
                        ConstView residual, ConstView w, ConstView bias, View y, View sum, View mean, View rstd) {
  const int64_t columns = x.shape[-1];
  const bool aligned = aligned16(columns, x, residual, w, bias, y, sum);
  dispatch_device_float(x.dtype, [&]<class T>() {
    with_rows<T>(mean.elements(), columns, aligned, [&]<class R>(const R& rows) {
      launch(ctx, "layer_norm_forward", layer_norm_forward_kernel<R>, rows.grid(), rows.block(), 0, rows, p.eps,
             mask_of(d, step), x, residual, w, bias, y, sum, mean, rstd);
    });
  });
}

void layer_norm_backward(CudaContext& ctx, const Dropout& d, ConstView step, ConstView x, ConstView w, ConstView mean,
                         ConstView rstd, ConstView dy, ConstView dsum, View dx, View dresidual, View dw, View dbias) {
  const int64_t columns = x.shape[-1];
  const bool aligned = aligned16(columns, x, w, dy, dsum, dx, dresidual);
  dispatch_device_float(x.dtype, [&]<class T>() {
    with_rows<T>(mean.elements(), columns, aligned, [&]<class R>(const R& rows) {
      // 1024 threads for each of 132 multiprocessors; not the device's own number, on which the sums would depend.
      const unsigned blocks = std::min(rows.grid(), 132 * 1024 / rows.block());
      CudaScratch partial(ctx, size_t{blocks} * 2 * static_cast<size_t>(columns) * sizeof(float));
      const int64_t tile = rows.per_block == 1 ? 0 : rows.per_block * 2 * columns * size_of(DType::f32);
      launch(ctx, "layer_norm_backward", layer_norm_backward_kernel<R>, blocks, rows.block(), static_cast<size_t>(tile),
             rows, mask_of(d, step), x, w, mean, rstd, dy, dsum, dx, dresidual, partial);
      add_partial_sums(ctx, "layer_norm_backward", blocks, columns, partial.as<float>(), dw, dbias);
    });
  });
}

}  // namespace engine
