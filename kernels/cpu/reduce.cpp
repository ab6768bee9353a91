#include "kernels/reduce.h"

#include "kernels/cpu/ordered_sums.h"

namespace engine {
namespace {

// Sums of columns: y[i] = scale * sum over r of x[r][i].
template <class T>
void sum_columns(CpuContext& ctx, int64_t rows, int64_t columns, const T* x, T* y, T scale) {
  sum_pieces(ctx, rows, columns, std::array{y}, [&](int64_t first, int64_t last, T* sums) {
    for (int64_t r = first; r < last; ++r) {
      const T* row = x + r * columns;
#pragma omp simd
      for (int64_t i = 0; i < columns; ++i) sums[i] += row[i];
    }
  });
  if (rows == 0) return;
  for (int64_t i = 0; i < columns; ++i) y[i] *= scale;
}

template <class T>
void sum_axis(CpuContext& ctx, const ReduceExtents& e, const T* x, T* y, T scale) {
  if (e.inner == 1) {
    return parallel_rows(e.outer, e.count, [&](int64_t o) {
      y[o] = scale * pairwise_sum<T>(0, e.count, [row = x + o * e.count](int64_t i) { return row[i]; });
    });
  }
  for (int64_t o = 0; o < e.outer; ++o)
    sum_columns(ctx, e.count, e.inner, x + o * e.count * e.inner, y + o * e.inner, scale);
}

// Calls body(k, at) for every result k and the first maximal element of x that it is made of.
template <class T, class Body>
void for_each_max(const ReduceExtents& e, const T* x, const Body& body) {
  parallel_rows(e.outer * e.inner, e.count, [&](int64_t k) {
    body(k, e.first_of(k) + e.first_max(k, [x](int64_t at) { return x[at]; }) * e.inner);
  });
}

}  // namespace

void reduce_forward(CpuContext& ctx, const Reduce& p, ConstView x, View y) {
  const InF32 in_f32(ctx, x, y);
  const ReduceExtents e(p, x.shape);
  dispatch_float(x.dtype, [&]<class T>() {
    if (p.op == Reduce::max)
      for_each_max(e, x.as<T>(), [in = x.as<T>(), out = y.as<T>()](int64_t k, int64_t at) { out[k] = in[at]; });
    else
      sum_axis(ctx, e, x.as<T>(), y.as<T>(), p.op == Reduce::mean ? T(1) / static_cast<T>(e.count) : T(1));
  });
}

void reduce_backward(CpuContext& ctx, const Reduce& p, ConstView x, ConstView dy, View dx) {
  const InF32 in_f32(ctx, x, dy, dx);
  const ReduceExtents e(p, dx.shape);
  dispatch_float(dy.dtype, [&]<class T>() {
    const T* upstream = dy.as<T>();
    T* out = dx.as<T>();
    if (p.op == Reduce::max) {
      std::fill(out, out + dx.elements(), T(0));
      return for_each_max(e, x.as<T>(), [&](int64_t k, int64_t at) { out[at] = upstream[k]; });
    }
    const T scale = p.op == Reduce::mean ? T(1) / static_cast<T>(e.count) : T(1);
    parallel_rows(e.outer * e.count, e.inner, [&](int64_t row) {
      const T* from = upstream + row / e.count * e.inner;
      T* to = out + row * e.inner;
      for (int64_t i = 0; i < e.inner; ++i) to[i] = scale * from[i];
    });
  });
}

void argmax(CpuContext& ctx, ConstView x, View y) {
  const InF32 in_f32(ctx, x, y);
  const int64_t columns = x.shape[-1];
  dispatch_float(x.dtype, [&]<class T>() {
    const ReduceExtents e(Reduce{Reduce::max, x.shape.rank() - 1, x.shape.rank()}, x.shape);
    for_each_max(e, x.as<T>(), [=, out = y.as<int64_t>()](int64_t k, int64_t at) { out[k] = at % columns; });
  });
}

}  // namespace engine
