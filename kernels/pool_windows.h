// Which elements a window of pooling has and which windows an element is in, for the loops of every backend.
#pragma once

#include "kernels/pool.h"

namespace engine {

// An element of x, or a window, which is an element of y.
struct PoolPlace {
  int64_t item;  // a clip; or an image, or a frame that is pooled for itself, and then t is 0
  int t, h, w;
};
struct PoolRange {
  int begin, end;
};
struct PoolBox {
  PoolRange t, h, w;
};

// One axis: `size` elements, `windows` of length `kernel`.
struct PoolAxis {
  int size, windows, kernel, stride, pad;

  PoolAxis(const Pool3d& p, const Shape& x, const Shape& y, size_t axis)
      : size(static_cast<int>(space_of(x)[axis])),
        windows(static_cast<int>(space_of(y)[axis])),
        kernel(static_cast<int>(p.kernel()[axis])),
        stride(
            static_cast<int>(std::min(p.stride()[axis], kMostPooled))),  // a longer one leaves one window all the same
        pad(static_cast<int>(p.pad()[axis])) {}

  constexpr int start(int window) const { return window * stride - pad; }
  constexpr PoolRange elements(int window) const {
    return {std::max(0, start(window)), std::min(size, start(window) + kernel)};
  }
  // The windows that an element is in: those that start at or before it and end after it.
  constexpr PoolRange windows_of(int element) const {
    const int latest_start = element + pad, too_early = latest_start - kernel;
    return {too_early < 0 ? 0 : too_early / stride + 1, std::min(windows, latest_start / stride + 1)};
  }
};

struct PoolWindows {
  int64_t c;
  PoolAxis t, h, w;
  bool count_padding;

  PoolWindows(const Pool3d& p, const Shape& x, const Shape& y)
      : c(x[-1]), t(p, x, y, 0), h(p, x, y, 1), w(p, x, y, 2), count_padding(p.count_padding) {
    if (!p.moves_over_time()) t.size = t.windows = 1;
  }

  // Offsets of the first channel.
  constexpr int64_t x_offset(const PoolPlace& element) const {
    return (((element.item * t.size + element.t) * h.size + element.h) * w.size + element.w) * c;
  }
  constexpr int64_t y_offset(const PoolPlace& window) const {
    return (((window.item * t.windows + window.t) * h.windows + window.h) * w.windows + window.w) * c;
  }
  constexpr PoolBox elements(const PoolPlace& window) const {
    return {t.elements(window.t), h.elements(window.h), w.elements(window.w)};
  }
  constexpr PoolBox windows_of(const PoolPlace& element) const {
    return {t.windows_of(element.t), h.windows_of(element.h), w.windows_of(element.w)};
  }
  // Where an element is in a window.
  constexpr int position(const PoolPlace& element, const PoolPlace& window) const {
    return ((element.t - t.start(window.t)) * h.kernel + element.h - h.start(window.h)) * w.kernel + element.w -
           w.start(window.w);
  }
  // What the sum of a window is divided by.
  constexpr int divisor(const PoolPlace& window) const {
    if (count_padding) return t.kernel * h.kernel * w.kernel;
    const PoolBox in = elements(window);
    return (in.t.end - in.t.begin) * (in.h.end - in.h.begin) * (in.w.end - in.w.begin);
  }
};

}  // namespace engine
