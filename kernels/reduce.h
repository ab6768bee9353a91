// Sums, means and maxima over neighbouring axes.
#pragma once

#include "kernels/context.h"

namespace engine {

struct Reduce {
  enum Op : uint8_t { sum, mean, max };
  Op op = sum;
  int first_axis = 0;  // axes first_axis .. last_axis-1 of x are reduced
  int last_axis = 1;
};

// x seen as (outer, count, inner), reduced over count.
struct ReduceExtents {
  int64_t outer, count, inner;
  ReduceExtents(const Reduce& p, const Shape& shape)
      : outer(shape.elements(0, p.first_axis)),
        count(shape.elements(p.first_axis, p.last_axis)),
        inner(shape.elements(p.last_axis, shape.rank())) {}
  // The element of x that result k is made of first; the others follow `inner` apart.
  constexpr int64_t first_of(int64_t k) const { return k / inner * count * inner + k % inner; }
  // The place among them of the first maximal one; `at` gives an element of x.
  template <class At>
  constexpr int64_t first_max(int64_t k, const At& at) const {
    int64_t best = 0;
    auto value = at(first_of(k));
    for (int64_t c = 1; c < count; ++c) {
      const auto candidate = at(first_of(k) + c * inner);
      if (candidate > value || (candidate != candidate && value == value)) best = c, value = candidate;
    }
    return best;
  }
};

// x, y: one float type, contiguous; y has x's shape without the reduced axes. Sums are taken in a fixed order. The
// maximum of a set with a NaN is NaN.
ENGINE_KERNEL(reduce_forward, const Reduce& p, ConstView x, View y);

// dx of x's shape: dy (sum), dy / count (mean), or dy at the first maximal element and 0 elsewhere (max). `x` is
// undefined unless p.op is max.
ENGINE_KERNEL(reduce_backward, const Reduce& p, ConstView x, ConstView dy, View dx);

// y[r] = index of the first maximal element of row r; x (..., C) float, y (...) i64. The index of a NaN counts as
// maximal.
ENGINE_KERNEL(argmax, ConstView x, View y);

}  // namespace engine
