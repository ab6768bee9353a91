#include "kernels/pool.h"

#include "kernels/cpu/parallel.h"

namespace engine {
namespace {

constexpr int64_t kBlock = 64;  // channels that are worked on at once

// A position in a window, as wide as the elements, so that one vector mask serves both.
template <class T>
using Position = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

struct Range {
  int64_t begin, end;
};

// One axis: `size` elements, `windows` of length `kernel`.
struct Axis {
  int64_t size, windows, kernel, stride, pad;

  int64_t start(int64_t window) const { return window * stride - pad; }
  // The elements of a window.
  Range elements(int64_t window) const {
    return {std::max<int64_t>(0, start(window)), std::min(size, start(window) + kernel)};
  }
  // The windows that an element is in: those that start at or before it and end after it.
  Range windows_of(int64_t element) const {
    const int64_t latest_start = element + pad, too_early = latest_start - kernel;
    return {too_early < 0 ? 0 : too_early / stride + 1, std::min(windows, latest_start / stride + 1)};
  }
};

struct Sizes {
  int64_t n, c;
  Axis h, w;

  Sizes(const Pool2d& p, const Shape& x, const Shape& y)
      : n(x[0]),
        c(x[3]),
        h{x[1], y[1], p.kernel_h, p.stride_h, p.pad_h},
        w{x[2], y[2], p.kernel_w, p.stride_w, p.pad_w} {}

  // Offsets of the first channel.
  int64_t x_offset(int64_t image, int64_t row, int64_t column) const {
    return ((image * h.size + row) * w.size + column) * c;
  }
  int64_t y_offset(int64_t image, int64_t p, int64_t q) const { return ((image * h.windows + p) * w.windows + q) * c; }
  // What the sum of window (p, q) is divided by.
  int64_t divisor(const Pool2d& pool, int64_t p, int64_t q) const {
    if (pool.count_padding) return h.kernel * w.kernel;
    const Range rows = h.elements(p), columns = w.elements(q);
    return (rows.end - rows.begin) * (columns.end - columns.begin);
  }
};

// Calls f(n, row, column) for `rows` x `columns` positions of every image, whole rows in parallel.
template <class F>
void for_each_position(const Sizes& z, int64_t rows, int64_t columns, const F& f) {
  const int64_t grain = std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, columns * z.c));
  parallel_for(z.n * rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line)
      for (int64_t column = 0; column < columns; ++column) f(line / rows, line % rows, column);
  });
}

// Calls f(offset in x, position in the window) for the elements of window (p, q).
template <class F>
void for_each_element(const Sizes& z, int64_t n, int64_t p, int64_t q, const F& f) {
  const Range rows = z.h.elements(p), columns = z.w.elements(q);
  for (int64_t h = rows.begin; h < rows.end; ++h)
    for (int64_t w = columns.begin; w < columns.end; ++w)
      f(z.x_offset(n, h, w), (h - z.h.start(p)) * z.w.kernel + w - z.w.start(q));
}

// Sets dx to 0, then calls add(sum, n, h, w, p, q) for every element (h, w) and every window (p, q) that it is in;
// `sum` points at the element's channels in dx.
template <class T, class F>
void sum_over_windows(const Sizes& z, T* dx, const F& add) {
  for_each_position(z, z.h.size, z.w.size, [&](int64_t n, int64_t h, int64_t w) {
    T* sum = dx + z.x_offset(n, h, w);
    std::fill(sum, sum + z.c, T(0));
    const Range rows = z.h.windows_of(h), columns = z.w.windows_of(w);
    for (int64_t p = rows.begin; p < rows.end; ++p)
      for (int64_t q = columns.begin; q < columns.end; ++q) add(sum, n, h, w, p, q);
  });
}

// The largest elements of channels [begin, begin + count) of one window, and where they are.
template <class T>
void max_of_window(const Sizes& z, int64_t n, int64_t p, int64_t q, int64_t begin, int64_t count, const T* x, T* y,
                   uint8_t* argmax) {
  T best[kBlock];
  Position<T> where[kBlock];
  bool first = true;
  for_each_element(z, n, p, q, [&](int64_t offset, int64_t position) {
    const T* in = x + offset + begin;
    const auto here = static_cast<Position<T>>(position);
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
      where[c] = larger ? here : where[c];
    }
  });
  const int64_t out = z.y_offset(n, p, q) + begin;
  std::copy(best, best + count, y + out);
  for (int64_t c = 0; c < count; ++c) argmax[out + c] = static_cast<uint8_t>(where[c]);
}

// sum[c] += dy[c] where argmax[c] is `here`.
template <class T>
void add_where(const uint8_t* argmax, Position<T> here, const T* dy, T* sum, int64_t count) {
#pragma omp simd
  for (int64_t c = 0; c < count; ++c) {
    const T value = dy[c];
    sum[c] += static_cast<Position<T>>(argmax[c]) == here ? value : T(0);
  }
}

}  // namespace

void max_pool2d_forward(CpuContext& ctx, const Pool2d& p, ConstView x, View y, View argmax) {
  if (x.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { max_pool2d_forward(ctx, p, v...); }, x, y, argmax);
  const Sizes z(p, x.shape, y.shape);
  uint8_t* where = argmax.as<uint8_t>();
  dispatch_float(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    T* out = y.as<T>();
    for_each_position(z, z.h.windows, z.w.windows, [&](int64_t n, int64_t row, int64_t column) {
      for (int64_t c = 0; c < z.c; c += kBlock)
        max_of_window(z, n, row, column, c, std::min(kBlock, z.c - c), in, out, where);
    });
  });
}

void max_pool2d_backward(CpuContext& ctx, const Pool2d& p, ConstView dy, ConstView argmax, View dx) {
  if (dy.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { max_pool2d_backward(ctx, p, v...); }, dy, argmax, dx);
  const Sizes z(p, dx.shape, dy.shape);
  const uint8_t* where = argmax.as<uint8_t>();
  dispatch_float(dy.dtype, [&]<class T>() {
    const T* upstream = dy.as<T>();
    sum_over_windows(z, dx.as<T>(), [&](T* sum, int64_t n, int64_t h, int64_t w, int64_t row, int64_t column) {
      const auto here = static_cast<Position<T>>((h - z.h.start(row)) * p.kernel_w + w - z.w.start(column));
      const int64_t from = z.y_offset(n, row, column);
      add_where(where + from, here, upstream + from, sum, z.c);
    });
  });
}

void average_pool2d_forward(CpuContext& ctx, const Pool2d& p, ConstView x, View y) {
  if (x.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { average_pool2d_forward(ctx, p, v...); }, x, y);
  const Sizes z(p, x.shape, y.shape);
  dispatch_float(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    T* out = y.as<T>();
    for_each_position(z, z.h.windows, z.w.windows, [&](int64_t n, int64_t row, int64_t column) {
      T* sum = out + z.y_offset(n, row, column);
      std::fill(sum, sum + z.c, T(0));
      for_each_element(z, n, row, column, [&](int64_t offset, int64_t) {
#pragma omp simd
        for (int64_t c = 0; c < z.c; ++c) sum[c] += in[offset + c];
      });
      const T divisor = static_cast<T>(z.divisor(p, row, column));
#pragma omp simd
      for (int64_t c = 0; c < z.c; ++c) sum[c] /= divisor;
    });
  });
}

void average_pool2d_backward(CpuContext& ctx, const Pool2d& p, ConstView dy, View dx) {
  if (dy.dtype == DType::bf16)
    return in_f32(
        ctx, [&](auto... v) { average_pool2d_backward(ctx, p, v...); }, dy, dx);
  const Sizes z(p, dx.shape, dy.shape);
  dispatch_float(dy.dtype, [&]<class T>() {
    const T* upstream = dy.as<T>();
    sum_over_windows(z, dx.as<T>(), [&](T* sum, int64_t n, int64_t, int64_t, int64_t row, int64_t column) {
      const T* from = upstream + z.y_offset(n, row, column);
      const T divisor = static_cast<T>(z.divisor(p, row, column));
#pragma omp simd
      for (int64_t c = 0; c < z.c; ++c) sum[c] += from[c] / divisor;
    });
  });
}

}  // namespace engine
