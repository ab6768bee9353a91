// Loops over the OpenMP pool. Results do not depend on timing: work is split by index only.
#pragma once

#include <omp.h>

#include <algorithm>
#include <exception>

#include "kernels/cpu/in_f32.h"

namespace engine {

// Calls body(begin, end) for pieces that cover [0, count). Pieces are at least `grain` long (the last may be shorter),
// so a small loop runs on the calling thread. The body must not throw.
template <class Body>
void parallel_for(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  const int64_t pieces = std::min<int64_t>(omp_get_max_threads(), (count + grain - 1) / grain);
  if (pieces <= 1 || omp_in_parallel()) {
    body(int64_t{0}, count);
    return;
  }
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(pieces))
  for (int64_t piece = 0; piece < pieces; ++piece) body(count * piece / pieces, count * (piece + 1) / pieces);
}

// Elements per piece below which a pointwise loop is not worth a second thread.
inline constexpr int64_t kPointwiseGrain = 16384;

// Calls f(i) for every element i, by vector instructions.
template <class F>
void parallel_elements(int64_t count, const F& f) {
  parallel_for(count, kPointwiseGrain, [f](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

// Calls body(row) for every row of about `columns` elements of work.
template <class Body>
void parallel_rows(int64_t rows, int64_t columns, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, columns));
  parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

// Sums term(i) over [begin, end) in a fixed order: leaves of up to 256 terms in 16 lanes, which become vector
// registers, then a balanced tree. The error grows with log2(count) instead of count.
template <class T, class Term>
T pairwise_sum(int64_t begin, int64_t end, const Term& term) {
  constexpr int64_t kLanes = 16, kLeaf = 256;
  if (end - begin > kLeaf) {
    const int64_t middle = begin + (end - begin) / 2 / kLanes * kLanes;
    return pairwise_sum<T>(begin, middle, term) + pairwise_sum<T>(middle, end, term);
  }
  T lanes[kLanes] = {};
  const int64_t whole = begin + (end - begin) / kLanes * kLanes;
  for (int64_t i = begin; i < whole; i += kLanes)
#pragma omp simd
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  for (int64_t i = whole; i < end; ++i) lanes[i - whole] += term(i);
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}

// The largest of count > 0 numbers. A NaN may be passed over.
template <class T>
T largest(const T* x, int64_t count) {
  T best = x[0];
#pragma omp simd reduction(max : best)
  for (int64_t i = 0; i < count; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

}  // namespace engine
