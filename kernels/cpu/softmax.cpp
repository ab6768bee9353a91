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

// Calls body(offset) for every row.
template <class Body>
void for_each_row(const Shape& shape, const Body& body) {
  const int64_t columns = shape[-1], rows = shape.elements() / columns;
  parallel_for(rows, std::max<int64_t>(1, kPointwiseGrain / (4 * columns)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r * columns);
  });
}

}  // namespace

void softmax_forward(CpuContext& ctx, Softmax kind, ConstView x, View y) {
  if (x.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { softmax_forward(ctx, kind, v...); }, x, y);
  dispatch_float(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    T* out = y.as<T>();
    for_each_row(x.shape, [&](int64_t at) { softmax_row(kind, x.shape[-1], in + at, out + at); });
  });
}

void softmax_backward(CpuContext& ctx, Softmax kind, ConstView y, ConstView dy, View dx) {
  if (y.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { softmax_backward(ctx, kind, v...); }, y, dy, dx);
  dispatch_float(y.dtype, [&]<class T>() {
    const T *saved = y.as<T>(), *upstream = dy.as<T>();
    T* out = dx.as<T>();
    for_each_row(y.shape,
                 [&](int64_t at) { softmax_row_backward(kind, y.shape[-1], saved + at, upstream + at, out + at); });
  });
}

}  // namespace engine
