#include "kernels/cpu/parallel.h"
#include "kernels/pool_windows.h"

namespace engine {
namespace {

constexpr int64_t kBlock = 64;  // channels that are worked on at once

// A position in a window, as wide as the elements, so that one vector mask serves both.
template <class T>
using Position = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// Calls f(place) for every place of x or y, whose items have `frames` frames, whole rows in parallel.
template <class F>
void for_each_place(const Shape& shape, int frames, const F& f) {
  const auto rows = static_cast<int>(shape[-3]), columns = static_cast<int>(shape[-2]);
  parallel_rows(shape.elements(0, shape.rank() - 2), columns * shape[-1], [&](int64_t line) {
    const int64_t frame = line / rows;
    PoolPlace at{frame / frames, static_cast<int>(frame % frames), static_cast<int>(line % rows), 0};
    for (; at.w < columns; ++at.w) f(at);
  });
}

template <class F>
void for_each_in(const PoolBox& box, int64_t item, const F& f) {
  for (int t = box.t.begin; t < box.t.end; ++t)
    for (int h = box.h.begin; h < box.h.end; ++h)
      for (int w = box.w.begin; w < box.w.end; ++w) f(PoolPlace{item, t, h, w});
}

// The largest elements of channels [begin, begin + count) of one window, and where they are unless argmax is null.
template <bool kWhere, class T>
void max_of_window(const PoolWindows& z, const PoolPlace& window, int64_t begin, int64_t count, const T* x, T* y,
                   uint8_t* argmax) {
  T best[kBlock];
  Position<T> where[kBlock];
  bool first = true;
  for_each_in(z.elements(window), window.item, [&](const PoolPlace& element) {
    const T* in = x + z.x_offset(element) + begin;
    const auto here = static_cast<Position<T>>(z.position(element, window));
    if (first) {
      std::copy(in, in + count, best);
      std::fill(where, where + count, here);
      first = false;
      return;
    }
#pragma omp simd
    for (int64_t c = 0; c < count; ++c) {
      const bool larger = !(in[c] <= best[c]) && best[c] == best[c];  // NaN is larger than any number
      best[c] = larger ? in[c] : best[c];
      if constexpr (kWhere) where[c] = larger ? here : where[c];
    }
  });
  const int64_t out = z.y_offset(window) + begin;
  std::copy(best, best + count, y + out);
  if constexpr (kWhere)
#pragma omp simd simdlen(16)  // of as many bytes as fit into a vector, few channels would be done one by one
    for (int64_t c = 0; c < count; ++c) argmax[out + c] = static_cast<uint8_t>(where[c]);
}

// Sets dx to 0, then calls add(sum, element, window) for every element and every window that it is in; `sum` points at
// the element's channels in dx.
template <class T, class F>
void sum_over_windows(const PoolWindows& z, const View& dx, const F& add) {
  for_each_place(dx.shape, z.t.size, [&, out = dx.as<T>()](const PoolPlace& element) {
    T* sum = out + z.x_offset(element);
    std::fill(sum, sum + z.c, T(0));
    for_each_in(z.windows_of(element), element.item, [&](const PoolPlace& window) { add(sum, element, window); });
  });
}

}  // namespace

void max_pool_forward(CpuContext& ctx, const Pool3d& p, ConstView x, View y, View argmax) {
  const InF32 in_f32(ctx, x, y, argmax);
  const PoolWindows z(p, x.shape, y.shape);
  dispatch_float(x.dtype, [&]<class T>() {
    const auto of_window = argmax.defined() ? max_of_window<true, T> : max_of_window<false, T>;
    auto* const where = argmax.defined() ? argmax.as<uint8_t>() : nullptr;
    for_each_place(y.shape, z.t.windows, [&, in = x.as<T>(), out = y.as<T>()](const PoolPlace& window) {
      for (int64_t c = 0; c < z.c; c += kBlock) of_window(z, window, c, std::min(kBlock, z.c - c), in, out, where);
    });
  });
}

void max_pool_backward(CpuContext& ctx, const Pool3d& p, ConstView dy, ConstView argmax, View dx) {
  const InF32 in_f32(ctx, dy, argmax, dx);
  const PoolWindows z(p, dx.shape, dy.shape);
  dispatch_float(dy.dtype, [&]<class T>() {
    sum_over_windows<T>(z, dx, [&](T* sum, const PoolPlace& element, const PoolPlace& window) {
      const auto here = static_cast<Position<T>>(z.position(element, window));
      const T* from = dy.as<T>() + z.y_offset(window);
      const uint8_t* at = argmax.as<uint8_t>() + z.y_offset(window);
#pragma omp simd simdlen(16)  // likewise
      for (int64_t c = 0; c < z.c; ++c) {
        const T value = from[c];
        sum[c] += static_cast<Position<T>>(at[c]) == here ? value : T(0);
      }
    });
  });
}

void average_pool_forward(CpuContext& ctx, const Pool3d& p, ConstView x, View y) {
  const InF32 in_f32(ctx, x, y);
  const PoolWindows z(p, x.shape, y.shape);
  dispatch_float(x.dtype, [&]<class T>() {
    for_each_place(y.shape, z.t.windows, [&, in = x.as<T>(), out = y.as<T>()](const PoolPlace& window) {
      T* sum = out + z.y_offset(window);
      std::fill(sum, sum + z.c, T(0));
      for_each_in(z.elements(window), window.item, [&](const PoolPlace& element) {
        const T* from = in + z.x_offset(element);
#pragma omp simd
        for (int64_t c = 0; c < z.c; ++c) sum[c] += from[c];
      });
      const T divisor = static_cast<T>(z.divisor(window));
#pragma omp simd
      for (int64_t c = 0; c < z.c; ++c) sum[c] /= divisor;
    });
  });
}

void average_pool_backward(CpuContext& ctx, const Pool3d& p, ConstView dy, View dx) {
  const InF32 in_f32(ctx, dy, dx);
  const PoolWindows z(p, dx.shape, dy.shape);
  dispatch_float(dy.dtype, [&]<class T>() {
    sum_over_windows<T>(z, dx, [&](T* sum, const PoolPlace&, const PoolPlace& window) {
      const T *from = dy.as<T>() + z.y_offset(window), divisor = static_cast<T>(z.divisor(window));
#pragma omp simd
      for (int64_t c = 0; c < z.c; ++c) sum[c] += from[c] / divisor;
    });
  });
}

}  // namespace engine
