// Pooling, channels-last. Traffic in bytes per element of x, f32 / bf16: for 2x2 windows max_pool_forward 5.25 / 2.75,
// backward the same, average_pool_* 5 / 2.5; for 2x2x2 windows 4.63 / 2.38 and 4.5 / 2.25. Bound by memory: a thread
// takes 16 bytes of channels, frame by frame of its window, and windows that overlap are read again from the caches.
// Backward gathers from the windows that an element is in, so nothing is added to memory.
#include "kernels/cuda/device.h"
#include "kernels/pool_windows.h"

namespace engine {
namespace {

constexpr int kThreads = 256;

// What a thread works on: kCount channels of a place in a tensor of frames x rows x columns; of images where !kClips.
struct Item {
  PoolPlace place;
  int64_t channel;
};
template <int kCount, bool kClips>
__device__ Item item_at(int64_t index, int frames, int rows, int columns, int64_t channels) {
  const int64_t packs = channels / kCount, position = index / packs, line = position / columns, frame = line / rows;
  const int64_t item = kClips ? frame / frames : frame;
  return {{item, kClips ? static_cast<int>(frame % frames) : 0, static_cast<int>(line % rows),
           static_cast<int>(position % columns)},
          index % packs * kCount};
}

// Calls use(place, load(place)) for all places of an item's box. kSpan > 0 is for images whose box has at most kSpan
// rows and columns: all loads are queued before the first use, so that one waits for memory once.
template <int kSpan, class Load, class Use>
__device__ void for_each(const PoolBox& box, int64_t item, const Load& load, const Use& use) {
  const PoolRange rows = box.h, columns = box.w;
  if constexpr (kSpan > 0) {
    if (rows.begin >= rows.end || columns.begin >= columns.end) return;
    decltype(load(PoolPlace{})) loaded[kSpan][kSpan];
#pragma unroll
    for (int i = 0; i < kSpan; ++i)
#pragma unroll
      for (int j = 0; j < kSpan; ++j)
        loaded[i][j] = load({item, 0, min(rows.begin + i, rows.end - 1), min(columns.begin + j, columns.end - 1)});
#pragma unroll
    for (int i = 0; i < kSpan; ++i)
#pragma unroll
      for (int j = 0; j < kSpan; ++j)
        if (rows.begin + i < rows.end && columns.begin + j < columns.end)
          use({item, 0, rows.begin + i, columns.begin + j}, loaded[i][j]);
  } else {
    for (int frame = box.t.begin; frame < box.t.end; ++frame)
      for (int row = rows.begin; row < rows.end; ++row)
        for (int column = columns.begin; column < columns.end; ++column) {
          const PoolPlace at{item, frame, row, column};
          use(at, load(at));
        }
  }
}

// The maximum of each window and where it is (kMax), or its average.
template <int kCount, int kSpan, bool kMax, class T>
__global__ void forward_kernel(int64_t items, PoolWindows z, const T* x, T* y, uint8_t* argmax) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= items) return;
  const auto [window, channel] = item_at<kCount, kSpan == 0>(index, z.t.windows, z.h.windows, z.w.windows, z.c);
  const PoolBox box = z.elements(window);
  const int first = z.position({window.item, kSpan > 0 ? 0 : box.t.begin, box.h.begin, box.w.begin}, window);
  float result[kCount];
  int where[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    result[i] = kMax ? -INFINITY : 0.0f;
    where[i] = first;
  }
  for_each<kSpan>(
      box, window.item,
      [&](const PoolPlace& at) { return load_pack<(kCount > 1), kCount>(x + z.x_offset(at) + channel); },
      [&](const PoolPlace& at, const Pack<T, kCount>& pack) {
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          const float value = to_f32(pack.at[i]);
          if constexpr (kMax) {
            const bool larger = !(value <= result[i]) && result[i] == result[i];  // NaN is larger than any number
            result[i] = larger ? value : result[i];
            where[i] = larger ? z.position(at, window) : where[i];
          } else {
            result[i] += value;
          }
        }
      });
  const float divisor = kMax ? 1.0f : static_cast<float>(z.divisor(window));
  Pack<T, kCount> out;
  Pack<uint8_t, kCount> positions;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    out.at[i] = from_f32<T>(kMax ? result[i] : result[i] / divisor);
    positions.at[i] = static_cast<uint8_t>(where[i]);
  }
  const int64_t to = z.y_offset(window) + channel;
  store_pack<(kCount > 1), kCount>(y + to, out);
  if (kMax && argmax != nullptr) store_pack<(kCount > 1), kCount>(argmax + to, positions);
}

// dx of maxima (kMax) or averages; argmax is read for maxima only.
template <int kCount, int kSpan, bool kMax, class T>
__global__ void backward_kernel(int64_t items, PoolWindows z, const T* dy, const uint8_t* argmax, T* dx) {
  struct Loaded {
    Pack<T, kCount> dy;
    Pack<uint8_t, kCount> argmax;
  };
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= items) return;
  const auto [element, channel] = item_at<kCount, kSpan == 0>(index, z.t.size, z.h.size, z.w.size, z.c);
  float sum[kCount] = {};
  for_each<kSpan>(
      z.windows_of(element), element.item,
      [&](const PoolPlace& window) {
        const int64_t from = z.y_offset(window) + channel;
        Loaded loaded;
        loaded.dy = load_pack<(kCount > 1), kCount>(dy + from);
        if constexpr (kMax) loaded.argmax = load_pack<(kCount > 1), kCount>(argmax + from);
        return loaded;
      },
      [&](const PoolPlace& window, const Loaded& loaded) {
        const int here = z.position(element, window);
        const float share = 1.0f / static_cast<float>(z.divisor(window));
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          const float value = to_f32(loaded.dy.at[i]);
          if constexpr (kMax)
            sum[i] += loaded.argmax.at[i] == here ? value : 0.0f;
          else
            sum[i] = fmaf(value, share, sum[i]);
        }
      });
  Pack<T, kCount> result;
#pragma unroll
  for (int i = 0; i < kCount; ++i) result.at[i] = from_f32<T>(sum[i]);
  store_pack<(kCount > 1), kCount>(dx + z.x_offset(element) + channel, result);
}

// Calls f.operator()<T, kCount, kSpan>(items). kCount channels make 16 bytes where C and the memory of all views (and
// of argmax, where there is one) allow that, else it is 1. An item is kCount channels of a place in `out`. kSpan is one
// of the spans given that is at least `span`, or 0, which it is of windows that move over time.
template <int... kSpans, class F>
void for_each_pack(const Pool3d& p, const View& out, const ConstView& in, const ConstView& argmax, int64_t span,
                   const F& f) {
  dispatch_device_float(out.dtype, [&]<class T>() {
    constexpr int kCount = kLanes<T>;
    if (!aligned16(out.shape[-1], out, in) || reinterpret_cast<uintptr_t>(argmax.data) % kCount != 0)
      return f.template operator()<T, 1, 0>(out.elements());
    const int64_t items = out.elements() / kCount;
    const bool fits =
        ((!p.moves_over_time() && span <= kSpans && (f.template operator()<T, kCount, kSpans>(items), true)) || ...);
    if (!fits) f.template operator()<T, kCount, 0>(items);
  });
}

template <bool kMax>
void forward(CudaContext& ctx, const char* name, const Pool3d& p, ConstView x, View y, View argmax) {
  const int64_t longest = std::max(p.kernel_h, p.kernel_w);
  for_each_pack<2, 3>(p, y, x, argmax, longest, [&]<class T, int kCount, int kSpan>(int64_t items) {
    launch(ctx, name, forward_kernel<kCount, kSpan, kMax, T>, blocks_for(items, kThreads), kThreads, 0, items,
           PoolWindows(p, x.shape, y.shape), x, y, argmax);
  });
}

template <bool kMax>
void backward(CudaContext& ctx, const char* name, const Pool3d& p, ConstView dy, ConstView argmax, View dx) {
  const int64_t most_windows = std::max((p.kernel_h - 1) / p.stride_h, (p.kernel_w - 1) / p.stride_w) + 1;
  for_each_pack<1, 2>(p, dx, dy, argmax, most_windows, [&]<class T, int kCount, int kSpan>(int64_t items) {
    launch(ctx, name, backward_kernel<kCount, kSpan, kMax, T>, blocks_for(items, kThreads), kThreads, 0, items,
           PoolWindows(p, dx.shape, dy.shape), dy, argmax, dx);
  });
}

}  // namespace

void max_pool_forward(CudaContext& ctx, const Pool3d& p, ConstView x, View y, View argmax) {
  forward<true>(ctx, "max_pool_forward", p, x, y, argmax);
}
void max_pool_backward(CudaContext& ctx, const Pool3d& p, ConstView dy, ConstView argmax, View dx) {
  backward<true>(ctx, "max_pool_backward", p, dy, argmax, dx);
}
void average_pool_forward(CudaContext& ctx, const Pool3d& p, ConstView x, View y) {
  forward<false>(ctx, "average_pool_forward", p, x, y, {});
}
void average_pool_backward(CudaContext& ctx, const Pool3d& p, ConstView dy, View dx) {
  backward<false>(ctx, "average_pool_backward", p, dy, {}, dx);
}

}  // namespace engine
