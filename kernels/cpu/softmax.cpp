#include "kernels/softmax.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace engine {
namespace {

using vector_math::exp, vector_math::decay;

template <class T>
void softmax_row(Softmax kind, int64_t count, const T* x, T* y) {
  const T max = largest(x, count);
  const T sum = pairwise_sum<T>(0, count, [=](int64_t i) { return y[i] = decay(x[i] - max); });
  if (kind == Softmax::softmax) {
    const T scale = 1 / sum;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) y[i] *= scale;
  } else {
    const T log_sum = std::log(sum);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) y[i] = (x[i] - max) - log_sum;
  }
}

template <class T>
void softmax_row_backward(Softmax kind, int64_t count, const T* y, const T* dy, T* dx) {
  if (kind == Softmax::softmax) {
    const T dot = pairwise_sum<T>(0, count, [=](int64_t i) { return dy[i] * y[i]; });
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) dx[i] = y[i] * (dy[i] - dot);
  } else {
    const T sum = pairwise_sum<T>(0, count, [=](int64_t i) { return dy[i]; });
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) dx[i] = dy[i] - exp(y[i]) * sum;
  }
}

}  // namespace

void softmax_forward(CpuContext& ctx, Softmax kind, ConstView x, View y) {
  const InF32 in_f32(ctx, x, y);
  dispatch_float(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    T* out = y.as<T>();
    const int64_t columns = x.shape[-1];
    parallel_rows(x.elements() / columns, 4 * columns,
                  [&](int64_t r) { softmax_row(kind, columns, in + r * columns, out + r * columns); });
  });
}

void softmax_backward(CpuContext& ctx, Softmax kind, ConstView y, ConstView dy, View dx) {
  const InF32 in_f32(ctx, y, dy, dx);
  dispatch_float(y.dtype, [&]<class T>() {
    const T *saved = y.as<T>(), *upstream = dy.as<T>();
    T* out = dx.as<T>();
    const int64_t columns = y.shape[-1];
    parallel_rows(y.elements() / columns, 4 * columns, [&](int64_t r) {
      const int64_t at = r * columns;
      softmax_row_backward(kind, columns, saved + at, upstream + at, out + at);
    });
  });
}

}  // namespace engine
