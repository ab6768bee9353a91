// Convolutions of whole numbers, whose result is exact in every type and order of additions.
#pragma once

#include <algorithm>

#include "engine/ops.h"
#include "engine/random.h"

namespace engine::test {

// A whole number in low .. high.
inline int64_t from_to(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random.below(static_cast<uint64_t>(high - low + 1)));
}

// Whole numbers in -4 .. 4.
inline Tensor whole_numbers(const Shape& shape, Random& random) {
  const Tensor x = Tensor::empty(shape, DType::f64);
  for (double& value : x.values<double>()) value = static_cast<double>(from_to(random, -4, 4));
  return x;
}

// Equal to the exact result rounded once to got's type; zeros of either sign are equal.
inline bool equals_rounded(const Tensor& got, const Tensor& exact) {
  const Tensor a = cast(got.to(kCpu), DType::f64), b = cast(cast(exact, got.dtype()), DType::f64);
  return a.shape() == b.shape() && std::ranges::equal(a.values<double>(), b.values<double>());
}

}  // namespace engine::test
