// Softmax. Traffic in bytes per element for f32 / bf16: forward 8 / 4, backward 12 / 6; rows of more than 8192 elements
// are read once more per pass, from the caches. Bound by memory.
#include "kernels/softmax.h"

#include "kernels/cuda/rows.cuh"

namespace engine {
namespace {

template <Softmax kKind, class R>
__global__ void __launch_bounds__(R::kMostThreads)
    softmax_forward_kernel(R rows, const typename R::T* x, typename R::T* y) {
  const int64_t row = int64_t{blockIdx.x} * rows.per_block + rows.row_in_block(), at = row * rows.columns;
  const bool is_row = row < rows.rows;
  float v[R::kSlots][R::kCount] = {};
  const float max = load_logits(rows, is_row, x + at, v);

  float sum[1] = {0};
  if (is_row)
    rows.each_pack([&](int slot, int column) {
      if (!R::kKeeps) rows.load(x + at, column, v[slot], kLowestLogit);
#pragma unroll
      for (int i = 0; i < R::kCount; ++i) {
        const float power = expf(v[slot][i] - max);
        sum[0] += power;
        if (R::kKeeps && kKind == Softmax::softmax) v[slot][i] = power;
      }
    });
  rows.reduce(sum, 0.0f, Sum{});

  const float scale = 1 / sum[0], log_sum = logf(sum[0]);
  if (is_row)
    rows.each_pack([&](int slot, int column) {
      if (!R::kKeeps) rows.load(x + at, column, v[slot], kLowestLogit);
      float out[R::kCount];
#pragma unroll
      for (int i = 0; i < R::kCount; ++i) {
        if (kKind == Softmax::log)
          out[i] = (v[slot][i] - max) - log_sum;
        else
          out[i] = scale * (R::kKeeps ? v[slot][i] : expf(v[slot][i] - max));
      }
      rows.store(y + at, column, out);
    });
}

// dx may be dy: a thread has read its own elements when it writes them.
template <Softmax kKind, class R>
__global__ void __launch_bounds__(R::kMostThreads)
    softmax_backward_kernel(R rows, const typename R::T* y, const typename R::T* dy, typename R::T* dx) {
  const int64_t row = int64_t{blockIdx.x} * rows.per_block + rows.row_in_block(), at = row * rows.columns;
  const bool is_row = row < rows.rows;
  float p[R::kSlots][R::kCount] = {}, g[R::kSlots][R::kCount] = {};
  const auto load = [&](int slot, int column) {
    rows.load(y + at, column, p[slot]);
    rows.load(dy + at, column, g[slot]);
  };

  float sum[1] = {0};
  if (is_row)
    rows.each_pack([&](int slot, int column) {
      load(slot, column);
#pragma unroll
      for (int i = 0; i < R::kCount; ++i)
        sum[0] = kKind == Softmax::log ? sum[0] + g[slot][i] : fmaf(g[slot][i], p[slot][i], sum[0]);
    });
  rows.reduce(sum, 0.0f, Sum{});

  if (is_row)
    rows.each_pack([&](int slot, int column) {
      if (!R::kKeeps) load(slot, column);
      float out[R::kCount];
#pragma unroll
      for (int i = 0; i < R::kCount; ++i)
        out[i] =
            kKind == Softmax::log ? fmaf(-expf(p[slot][i]), sum[0], g[slot][i]) : p[slot][i] * (g[slot][i] - sum[0]);
      rows.store(dx + at, column, out);
    });
}

}  // namespace

void softmax_forward(CudaContext& ctx, Softmax kind, ConstView x, View y) {
  const int64_t columns = x.shape[-1];
  dispatch_device_float(x.dtype, [&]<class T>() {
    with_rows<T>(x.elements() / columns, columns, aligned16(columns, x, y), [&]<class R>(const R& rows) {
      launch(
          ctx, "softmax_forward",
          kind == Softmax::log ? softmax_forward_kernel<Softmax::log, R> : softmax_forward_kernel<Softmax::softmax, R>,
          rows.grid(), rows.block(), 0, rows, x, y);
    });
  });
}

void softmax_backward(CudaContext& ctx, Softmax kind, ConstView y, ConstView dy, View dx) {
  const int64_t columns = y.shape[-1];
  dispatch_device_float(y.dtype, [&]<class T>() {
    with_rows<T>(y.elements() / columns, columns, aligned16(columns, y, dy, dx), [&]<class R>(const R& rows) {
      launch(ctx, "softmax_backward",
             kind == Softmax::log ? softmax_backward_kernel<Softmax::log, R>
                                  : softmax_backward_kernel<Softmax::softmax, R>,
             rows.grid(), rows.block(), 0, rows, y, dy, dx);
    });
  });
}

}  // namespace engine
