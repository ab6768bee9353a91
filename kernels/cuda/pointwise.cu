// Elementwise kernels. Traffic in bytes per element for f32 / bf16: unary_forward 8 / 4, unary_backward 12 / 6,
// binary_forward 12 / 6 (8 / 4 where b is a row, which stays in the cache), bias_activation_forward 8 / 4. Bound by
// memory.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/map.cuh"

namespace engine {
namespace {

template <class F>
struct Value {
  F f;
  __device__ float operator()(float x) const { return f.value(x); }
};
template <class F>
struct Slope {
  F f;
  __device__ float operator()(float saved, float dy) const { return dy * f.slope(saved); }
};
template <class F>
struct ValueOfSum {
  F f;
  __device__ float operator()(float x, float bias) const { return f.value(x + bias); }
};
// out[i] = f(a[i], b[i % period]); a thread's elements lie in one row where kAligned.
template <bool kAligned, class T, class F>
__global__ void map_rows_kernel(int64_t count, int64_t period, F f, const T* a, const T* b, T* out) {
  constexpr int kCount = kLanes<T>;
  const int64_t first = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kCount;
  if (kAligned && first + kCount <= count) {
    const auto x = load_pack<kAligned, kCount>(a + first), y = load_pack<kAligned, kCount>(b + first % period);
    Pack<T> result;
#pragma unroll
    for (int i = 0; i < kCount; ++i) result.at[i] = from_f32<T>(f(to_f32(x.at[i]), to_f32(y.at[i])));
    store_pack<kAligned, kCount>(out + first, result);
  } else {
    for (int64_t i = first; i < first + kCount && i < count; ++i)
      out[i] = from_f32<T>(f(to_f32(a[i]), to_f32(b[i % period])));
  }
}

template <class F>
void map_rows(CudaContext& ctx, const char* name, const F& f, const ConstView& a, const ConstView& b, const View& y) {
  const int64_t count = a.elements(), period = b.elements();
  dispatch_device_float(a.dtype, [&]<class T>() {
    if (period == count) return map(ctx, name, count, f, y.as<T>(), a.as<T>(), b.as<T>());
    dispatch_bool(aligned16(period, a, b, y), [&]<bool kAligned>() {
      launch(ctx, name, map_rows_kernel<kAligned, T, F>, blocks_for(count, int64_t{kMapThreads} * kLanes<T>),
             kMapThreads, 0, count, period, f, a, b, y);
    });
  });
}

}  // namespace

void unary_forward(CudaContext& ctx, const Unary& f, ConstView x, View y) {
  dispatch_device_float(x.dtype, [&]<class T>() {
    activation::with_functor(f, [&](auto functor) {
      map(ctx, "unary_forward", x.elements(), Value<decltype(functor)>{functor}, y.as<T>(), x.as<T>());
    });
  });
}

void unary_backward(CudaContext& ctx, const Unary& f, ConstView saved, ConstView dy, View dx) {
  dispatch_device_float(saved.dtype, [&]<class T>() {
    activation::with_functor(f, [&](auto functor) {
      map(ctx, "unary_backward", saved.elements(), Slope<decltype(functor)>{functor}, dx.as<T>(), saved.as<T>(),
          dy.as<T>());
    });
  });
}

void binary_forward(CudaContext& ctx, Binary op, ConstView a, ConstView b, View y) {
  constexpr const char* kNames[] = {"add", "sub", "mul", "div"};
  dispatch_binary<float>(op, [&](auto f) { map_rows(ctx, kNames[static_cast<size_t>(op)], f, a, b, y); });
}

void bias_activation_forward(CudaContext& ctx, const Unary& f, ConstView x, ConstView bias, View y) {
  activation::with_functor(f, [&](auto functor) {
    map_rows(ctx, "bias_activation_forward", ValueOfSum<decltype(functor)>{functor}, x, bias, y);
  });
}

}  // namespace engine
