// Pooling, channels-last. Traffic in bytes per element of x for 2x2 windows, f32 / bf16: max_pool2d_forward 5.25
// / 2.75, backward the same, average_pool2d_* 5 / 2.5. Bound by memory: a thread takes 16 bytes of channels, and
// windows that overlap are read again from the caches. Backward gathers from the windows that an element is in, so
// nothing is added to memory.
#include "kernels/pool.h"

#include "kernels/cuda/device.h"

namespace engine {
namespace {

constexpr int kThreads = 256;

struct Range {
  int begin, end;
};

// One axis: `size` elements, `windows` of length `kernel`.
struct Axis {
  int size, windows, kernel, stride, pad;

  Axis(int64_t elements, int64_t outputs, int64_t length, int64_t step, int64_t padding)
      : size(static_cast<int>(elements)),
        windows(static_cast<int>(outputs)),
        kernel(static_cast<int>(length)),
        stride(static_cast<int>(std::min<int64_t>(step, 1 << 30))),  // a longer step leaves one window all the same
        pad(static_cast<int>(padding)) {}

  __device__ int start(int window) const { return window * stride - pad; }
  __device__ Range elements(int window) const { return {max(0, start(window)), min(size, start(window) + kernel)}; }
  // The windows that an element is in: those that start at or before it and end after it.
  __device__ Range windows_of(int element) const {
    const int latest_start = element + pad, too_early = latest_start - kernel;
    return {too_early < 0 ? 0 : too_early / stride + 1, min(windows, latest_start / stride + 1)};
  }
};

struct Sizes {
  int64_t images, c;
  Axis h, w;
  bool count_padding;

  Sizes(const Pool2d& p, const Shape& x, const Shape& y)
      : images(x[0]),
        c(x[3]),
        h(x[1], y[1], p.kernel_h, p.stride_h, p.pad_h),
        w(x[2], y[2], p.kernel_w, p.stride_w, p.pad_w),
        count_padding(p.count_padding) {}

  __device__ int64_t x_offset(int64_t image, int row, int column) const {
    return ((image * h.size + row) * w.size + column) * c;
  }
  __device__ int64_t y_offset(int64_t image, int p, int q) const {
    return ((image * h.windows + p) * w.windows + q) * c;
  }
  // What the sum of window (p, q) is divided by.
  __device__ float divisor(int p, int q) const {
    if (count_padding) return static_cast<float>(h.kernel * w.kernel);
    const Range rows = h.elements(p), columns = w.elements(q);
    return static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
  }
};

// What a thread works on: kCount channels of one position of an image of rows x columns.
struct Place {
  int64_t image;
  int row, column;
  int64_t channel;
};
template <int kCount>
__device__ Place place_of(int64_t item, int rows, int columns, int64_t channels) {
  const int64_t packs = channels / kCount, position = item / packs, line = position / columns;
  return {line / rows, static_cast<int>(line % rows), static_cast<int>(position % columns), item % packs * kCount};
}

// Calls use(row, column, load(row, column)) for all of rows x columns. With kSpan > 0 there are at most kSpan of each,
// and all loads are queued before the first use, so that one waits for memory once.
template <int kSpan, class Load, class Use>
__device__ void for_each(Range rows, Range columns, const Load& load, const Use& use) {
  if constexpr (kSpan > 0) {
    if (rows.begin >= rows.end || columns.begin >= columns.end) return;
    decltype(load(0, 0)) loaded[kSpan][kSpan];
#pragma unroll
    for (int i = 0; i < kSpan; ++i)
#pragma unroll
      for (int j = 0; j < kSpan; ++j)
        loaded[i][j] = load(min(rows.begin + i, rows.end - 1), min(columns.begin + j, columns.end - 1));
#pragma unroll
    for (int i = 0; i < kSpan; ++i)
#pragma unroll
      for (int j = 0; j < kSpan; ++j)
        if (rows.begin + i < rows.end && columns.begin + j < columns.end)
          use(rows.begin + i, columns.begin + j, loaded[i][j]);
  } else {
    for (int row = rows.begin; row < rows.end; ++row)
      for (int column = columns.begin; column < columns.end; ++column) use(row, column, load(row, column));
  }
}

template <int kCount, int kSpan, class T>
__global__ void max_forward_kernel(int64_t items, Sizes z, const T* x, T* y, uint8_t* argmax) {
  const int64_t item = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<kCount>(item, z.h.windows, z.w.windows, z.c);
  const Range rows = z.h.elements(at.row), columns = z.w.elements(at.column);
  const auto position = [&](int h, int w) { return (h - z.h.start(at.row)) * z.w.kernel + w - z.w.start(at.column); };
  float best[kCount];
  int where[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    best[i] = -INFINITY;
    where[i] = position(rows.begin, columns.begin);
  }
  for_each<kSpan>(
      rows, columns,
      [&](int h, int w) { return load_pack<(kCount > 1), kCount>(x + z.x_offset(at.image, h, w) + at.channel); },
      [&](int h, int w, const Pack<T, kCount>& pack) {
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          const float value = to_f32(pack.at[i]);
          const bool larger = !(value <= best[i]) && best[i] == best[i];  // NaN is larger than any number
          best[i] = larger ? value : best[i];
          where[i] = larger ? position(h, w) : where[i];
        }
      });
  Pack<T, kCount> largest;
  Pack<uint8_t, kCount> positions;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    largest.at[i] = from_f32<T>(best[i]);
    positions.at[i] = static_cast<uint8_t>(where[i]);
  }
  const int64_t out = z.y_offset(at.image, at.row, at.column) + at.channel;
  store_pack<(kCount > 1), kCount>(y + out, largest);
  store_pack<(kCount > 1), kCount>(argmax + out, positions);
}

template <int kCount, int kSpan, class T>
__global__ void average_forward_kernel(int64_t items, Sizes z, const T* x, T* y) {
  const int64_t item = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<kCount>(item, z.h.windows, z.w.windows, z.c);
  float sum[kCount] = {};
  for_each<kSpan>(
      z.h.elements(at.row), z.w.elements(at.column),
      [&](int h, int w) { return load_pack<(kCount > 1), kCount>(x + z.x_offset(at.image, h, w) + at.channel); },
      [&](int, int, const Pack<T, kCount>& pack) {
#pragma unroll
        for (int i = 0; i < kCount; ++i) sum[i] += to_f32(pack.at[i]);
      });
  const float divisor = z.divisor(at.row, at.column);
  Pack<T, kCount> mean;
#pragma unroll
  for (int i = 0; i < kCount; ++i) mean.at[i] = from_f32<T>(sum[i] / divisor);
  store_pack<(kCount > 1), kCount>(y + z.y_offset(at.image, at.row, at.column) + at.channel, mean);
}

// dx of maxima (kMax) or averages; argmax is read for maxima only.
template <int kCount, int kSpan, bool kMax, class T>
__global__ void backward_kernel(int64_t items, Sizes z, const T* dy, const uint8_t* argmax, T* dx) {
  struct Loaded {
    Pack<T, kCount> dy;
    Pack<uint8_t, kCount> argmax;
  };
  const int64_t item = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (item >= items) return;
  const Place at = place_of<kCount>(item, z.h.size, z.w.size, z.c);
  float sum[kCount] = {};
  for_each<kSpan>(
      z.h.windows_of(at.row), z.w.windows_of(at.column),
      [&](int p, int q) {
        const int64_t from = z.y_offset(at.image, p, q) + at.channel;
        Loaded loaded;
        loaded.dy = load_pack<(kCount > 1), kCount>(dy + from);
        if constexpr (kMax) loaded.argmax = load_pack<(kCount > 1), kCount>(argmax + from);
        return loaded;
      },
      [&](int p, int q, const Loaded& loaded) {
        if constexpr (kMax) {
          const int here = (at.row - z.h.start(p)) * z.w.kernel + at.column - z.w.start(q);
#pragma unroll
          for (int i = 0; i < kCount; ++i) sum[i] += loaded.argmax.at[i] == here ? to_f32(loaded.dy.at[i]) : 0.0f;
        } else {
          const float share = 1.0f / z.divisor(p, q);
#pragma unroll
          for (int i = 0; i < kCount; ++i) sum[i] += to_f32(loaded.dy.at[i]) * share;
        }
      });
  Pack<T, kCount> result;
#pragma unroll
  for (int i = 0; i < kCount; ++i) result.at[i] = from_f32<T>(sum[i]);
  store_pack<(kCount > 1), kCount>(dx + z.x_offset(at.image, at.row, at.column) + at.channel, result);
}

// Calls f.operator()<T, kCount, kSpan>(items). kCount channels make 16 bytes where C and the memory of all views (and
// of argmax, where there is one) allow that, else it is 1. An item is kCount channels of a position of `out`. kSpan is
// one of the spans given that is at least `span`, or 0.
template <int... kSpans, class F>
void for_each_pack(const View& out, const ConstView& in, const ConstView& argmax, int64_t span, const F& f) {
  dispatch_device_float(out.dtype, [&]<class T>() {
    constexpr int kCount = kLanes<T>;
    if (!aligned16(out.shape[3], out, in) || reinterpret_cast<uintptr_t>(argmax.data) % kCount != 0)
      return f.template operator()<T, 1, 0>(out.elements());
    const int64_t items = out.elements() / kCount;
    const bool fits = ((span <= kSpans && (f.template operator()<T, kCount, kSpans>(items), true)) || ...);
    if (!fits) f.template operator()<T, kCount, 0>(items);
  });
}

template <class F>
void for_each_window(const Pool2d& p, const View& y, const ConstView& x, const ConstView& argmax, const F& f) {
  for_each_pack<2, 3>(y, x, argmax, std::max(p.kernel_h, p.kernel_w), f);
}

template <class F>
void for_each_element(const Pool2d& p, const View& dx, const ConstView& dy, const ConstView& argmax, const F& f) {
  const auto most_windows = [](int64_t kernel, int64_t stride) { return (kernel - 1) / stride + 1; };
  for_each_pack<1, 2>(dx, dy, argmax,
                      std::max(most_windows(p.kernel_h, p.stride_h), most_windows(p.kernel_w, p.stride_w)), f);
}

}  // namespace

void max_pool2d_forward(CudaContext& ctx, const Pool2d& p, ConstView x, View y, View argmax) {
  for_each_window(p, y, x, argmax, [&]<class T, int kCount, int kSpan>(int64_t items) {
    launch(ctx, "max_pool2d_forward", max_forward_kernel<kCount, kSpan, T>, blocks_for(items, kThreads), kThreads, 0,
           items, Sizes(p, x.shape, y.shape), x.as<T>(), y.as<T>(), argmax.as<uint8_t>());
  });
}

void max_pool2d_backward(CudaContext& ctx, const Pool2d& p, ConstView dy, ConstView argmax, View dx) {
  for_each_element(p, dx, dy, argmax, [&]<class T, int kCount, int kSpan>(int64_t items) {
    launch(ctx, "max_pool2d_backward", backward_kernel<kCount, kSpan, true, T>, blocks_for(items, kThreads), kThreads,
           0, items, Sizes(p, dx.shape, dy.shape), dy.as<T>(), argmax.as<uint8_t>(), dx.as<T>());
  });
}

void average_pool2d_forward(CudaContext& ctx, const Pool2d& p, ConstView x, View y) {
  for_each_window(p, y, x, {}, [&]<class T, int kCount, int kSpan>(int64_t items) {
    launch(ctx, "average_pool2d_forward", average_forward_kernel<kCount, kSpan, T>, blocks_for(items, kThreads),
           kThreads, 0, items, Sizes(p, x.shape, y.shape), x.as<T>(), y.as<T>());
  });
}

void average_pool2d_backward(CudaContext& ctx, const Pool2d& p, ConstView dy, View dx) {
  for_each_element(p, dx, dy, {}, [&]<class T, int kCount, int kSpan>(int64_t items) {
    launch(ctx, "average_pool2d_backward", backward_kernel<kCount, kSpan, false, T>, blocks_for(items, kThreads),
           kThreads, 0, items, Sizes(p, dx.shape, dy.shape), dy.as<T>(), nullptr, dx.as<T>());
  });
}

}  // namespace engine
