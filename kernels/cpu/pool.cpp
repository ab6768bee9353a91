#include <cstring>
#include <limits>

#include "kernels/cpu/parallel.h"
#include "kernels/pool_windows.h"

namespace engine {
namespace {

// Some channels of one place as a vector register, and as many positions in windows, so that one mask serves both.
template <class T>
struct Pack {
  static constexpr int64_t kBytes = __BIGGEST_ALIGNMENT__, kChannels = kBytes / sizeof(T);  // of the widest registers
  using Values [[gnu::vector_size(kBytes)]] = T;
  using Positions [[gnu::vector_size(kBytes)]] = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  using Bytes [[gnu::vector_size(kChannels)]] = uint8_t;
  using Pairs [[gnu::vector_size(2 * kChannels)]] = uint16_t;
};

// The first `count` elements of a vector; those that are not loaded are 0.
template <class T, class V = typename Pack<T>::Values>
V load(const T* from, int64_t count) {
  V values{};
  std::memcpy(&values, from, static_cast<size_t>(count) * sizeof(T));
  return values;
}
template <class V, class T>
void store(const V& values, T* to, int64_t count) {
  std::memcpy(to, &values, static_cast<size_t>(count) * sizeof(T));
}

// A place, or the first of a row, and the offset of its first channel that is looked at. position: of the element in
// the window that is there; of an element that is not in there, where it would be.
struct Spot {
  PoolPlace at;
  int64_t offset;
  int position;
};

// Calls f(own, count, for_each_met) for packs of `count` channels of a row of y, which meets elements of rows of x, or
// of a row of x, which meets windows. for_each_met(g) calls g(met) for the same channels of all that a place meets;
// own.position is that of the first. Not inlined, so that the loops have the registers to themselves.
template <class T, bool kOfY, class F>
[[gnu::noinline]] void for_packs_of_row(int64_t channels, int stride, const Spot& row,
                                        const std::vector<Spot>& met_rows, const std::vector<PoolRange>& met_columns,
                                        const F f) {
  constexpr int64_t kWhole = Pack<T>::kChannels;
  const int own_step = kOfY ? -stride : 1, met_step = kOfY ? 1 : -stride;  // of positions
  for (int w = 0; w < std::ssize(met_columns); ++w) {
    const PoolRange columns = met_columns[static_cast<size_t>(w)];
    const auto pack = [&](int64_t c, auto count) {
      const auto meet = [&](const Spot& r, int k) {
        return Spot{
            {r.at.item, r.at.t, r.at.h, k}, r.offset + k * channels + c, r.position + w * own_step + k * met_step};
      };
      const int first = met_rows.empty() ? 0 : meet(met_rows[0], columns.begin).position;
      const Spot own{{row.at.item, row.at.t, row.at.h, w}, row.offset + w * channels + c, first};
      f(own, count, [&](const auto& g) {
        for (const Spot& met_row : met_rows)
          for (int k = columns.begin; k < columns.end; ++k) g(meet(met_row, k));
      });
    };
    for (int64_t c = 0; c < channels; c += kWhole)
      c + kWhole <= channels ? pack(c, std::integral_constant<int64_t, kWhole>()) : pack(c, channels - c);
  }
}

// The same for all rows of y or x, which has this shape, in parallel.
template <class T, bool kOfY, class F>
void for_each_pack(const PoolWindows& z, const Shape& shape, const F& f) {
  const int frames = kOfY ? z.t.windows : z.t.size, height = kOfY ? z.h.windows : z.h.size;
  std::vector<PoolRange> columns;
  for (int w = 0; w < shape[-2]; ++w) columns.push_back(kOfY ? z.w.elements(w) : z.w.windows_of(w));
  parallel_rows(shape.elements(0, shape.rank() - 2), shape[-2] * shape[-1], [&](int64_t row) {
    const PoolPlace at{row / height / frames, static_cast<int>(row / height % frames), static_cast<int>(row % height),
                       0};
    const PoolBox box = kOfY ? z.elements(at) : z.windows_of(at);
    std::vector<Spot> rows;
    for (int t = box.t.begin; t < box.t.end; ++t)
      for (int h = box.h.begin; h < box.h.end; ++h) {
        const PoolPlace met{at.item, t, h, 0};
        rows.push_back(kOfY ? Spot{met, z.x_offset(met), z.position(met, at)}
                            : Spot{met, z.y_offset(met), z.position(at, met)});
      }
    for_packs_of_row<T, kOfY>(z.c, z.w.stride, {at, kOfY ? z.y_offset(at) : z.x_offset(at), 0}, rows, columns, f);
  });
}

// Every element of dx is the sum of term(window, count) over the windows that it is in.
template <class T, class F>
void sum_over_windows(const PoolWindows& z, const View& dx, const F& term) {
  for_each_pack<T, false>(z, dx.shape,
                          [=, out = dx.as<T>()](const Spot& element, auto count, const auto& for_each_met) {
                            typename Pack<T>::Values sum{};
                            for_each_met([&](const Spot& window) { sum += term(window, count); });
                            store(sum, out + element.offset, count);
                          });
}

}  // namespace

void max_pool_forward(CpuContext& ctx, const Pool3d& p, ConstView x, View y, View argmax) {
  const InF32 in_f32(ctx, x, y, argmax);
  const PoolWindows z(p, x.shape, y.shape);
  const auto find = [&]<class T, bool kWhere>(const T* in, T* out, uint8_t* at) {
    using P = Pack<T>;
    for_each_pack<T, true>(z, y.shape, [=](const Spot& window, auto count, const auto& for_each_met) {
      auto best = typename P::Values{} - std::numeric_limits<T>::infinity();
      auto where = typename P::Positions{} + window.position;
      for_each_met([&](const Spot& element) {
        __builtin_prefetch(in + element.offset + 256);  // some windows ahead: the processor looks ahead less far
        const auto value = load(in + element.offset, count);
        const auto stays = (value <= best) | (best != best);  // NaN is larger than any number
        best = stays ? best : value;
        if constexpr (kWhere) where = stays ? where : typename P::Positions{} + element.position;
      });
      store(best, out + window.offset, count);
      if constexpr (kWhere) store(__builtin_convertvector(where, typename P::Bytes), at + window.offset, count);
    });
  };
  dispatch_float(x.dtype, [&]<class T>() {
    dispatch_bool(argmax.defined(), [&]<bool kWhere>() {
      find.template operator()<T, kWhere>(x.as<T>(), y.as<T>(), kWhere ? argmax.as<uint8_t>() : nullptr);
    });
  });
}

void max_pool_backward(CpuContext& ctx, const Pool3d& p, ConstView dy, ConstView argmax, View dx) {
  const InF32 in_f32(ctx, dy, argmax, dx);
  const PoolWindows z(p, dx.shape, dy.shape);
  dispatch_float(dy.dtype, [&]<class T>() {
    using P = Pack<T>;
    sum_over_windows<T>(z, dx, [from = dy.as<T>(), at = argmax.as<uint8_t>()](const Spot& window, auto count) {
      // By way of 16 bits: bytes that are widened at once to 32, GCC 12 takes one by one.
      const auto bytes = load<uint8_t, typename P::Bytes>(at + window.offset, count);
      const auto pairs = __builtin_convertvector(bytes, typename P::Pairs);
      const auto chosen = __builtin_convertvector(pairs, typename P::Positions) == window.position;
      return chosen ? load(from + window.offset, count) : typename P::Values{};
    });
  });
}

void average_pool_forward(CpuContext& ctx, const Pool3d& p, ConstView x, View y) {
  const InF32 in_f32(ctx, x, y);
  const PoolWindows z(p, x.shape, y.shape);
  dispatch_float(x.dtype, [&]<class T>() {
    for_each_pack<T, true>(
        z, y.shape, [z, in = x.as<T>(), out = y.as<T>()](const Spot& window, auto count, const auto& for_each_met) {
          typename Pack<T>::Values sum{};
          for_each_met([&](const Spot& element) { sum += load(in + element.offset, count); });
          store(sum / static_cast<T>(z.divisor(window.at)), out + window.offset, count);
        });
  });
}

void average_pool_backward(CpuContext& ctx, const Pool3d& p, ConstView dy, View dx) {
  const InF32 in_f32(ctx, dy, dx);
  const PoolWindows z(p, dx.shape, dy.shape);
  dispatch_float(dy.dtype, [&]<class T>() {
    sum_over_windows<T>(z, dx, [z, from = dy.as<T>()](const Spot& window, auto count) {
      return load(from + window.offset, count) / static_cast<T>(z.divisor(window.at));
    });
  });
}

}  // namespace engine
