#include "kernels/activation.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace engine {
namespace {

template <class T>
struct Math {
  static T exp(T x) { return vector_math::exp(x); }
  static T tanh(T x) { return vector_math::tanh(x); }
  static T sigmoid(T x) { return vector_math::sigmoid(x); }
  static auto normal(T x) { return vector_math::normal(x); }
};

template <class T, class F>
void with_functor(const Unary& f, const F& body) {
  Activations<T, Math<T>>::dispatch(f, body);
}

// out[i] = f(a[i], b[i % period]), where period divides count: whole rows of b, so that the inner loop vectorises.
template <class T, class F>
void for_each_pair(int64_t count, int64_t period, const T* a, const T* b, T* out, const F& f) {
  if (period == 1 && count > 1)
    return parallel_elements(count, [=, value = *b](int64_t i) { out[i] = f(a[i], value); });
  parallel_for(count, kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin, at = begin % period; first < end; at = 0) {
      const int64_t length = std::min(period - at, end - first);
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) out[first + i] = f(a[first + i], b[at + i]);
      first += length;
    }
  });
}

}  // namespace

void unary_forward(CpuContext& ctx, const Unary& f, ConstView x, View y) {
  const InF32 in_f32(ctx, x, y);
  dispatch_float(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    T* out = y.as<T>();
    with_functor<T>(
        f, [&](auto functor) { parallel_elements(x.elements(), [=](int64_t i) { out[i] = functor.value(in[i]); }); });
  });
}

void unary_backward(CpuContext& ctx, const Unary& f, ConstView saved, ConstView dy, View dx) {
  const InF32 in_f32(ctx, saved, dy, dx);
  dispatch_float(saved.dtype, [&]<class T>() {
    const T *in = saved.as<T>(), *upstream = dy.as<T>();
    T* out = dx.as<T>();
    with_functor<T>(f, [&](auto functor) {
      parallel_elements(saved.elements(), [=](int64_t i) { out[i] = upstream[i] * functor.slope(in[i]); });
    });
  });
}

void binary_forward(CpuContext& ctx, Binary op, ConstView a, ConstView b, View y) {
  const InF32 in_f32(ctx, a, b, y);
  dispatch_float(a.dtype, [&]<class T>() {
    dispatch_binary<T>(op,
                       [&](auto f) { for_each_pair(a.elements(), b.elements(), a.as<T>(), b.as<T>(), y.as<T>(), f); });
  });
}

void bias_activation_forward(CpuContext& ctx, const Unary& f, ConstView x, ConstView bias, View y) {
  const InF32 in_f32(ctx, x, bias, y);
  dispatch_float(x.dtype, [&]<class T>() {
    with_functor<T>(f, [&](auto functor) {
      for_each_pair(x.elements(), bias.elements(), x.as<T>(), bias.as<T>(), y.as<T>(),
                    [functor](T value, T b) { return functor.value(value + b); });
    });
  });
}

}  // namespace engine
