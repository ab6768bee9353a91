// Parallel sums whose order is fixed by the sizes alone, so that they do not depend on the number of threads.
#pragma once

#include <array>

#include "kernels/cpu/parallel.h"

namespace engine {

// The rows of a matrix in pieces of kRowsPerPiece (the last may be shorter).
inline constexpr int64_t kRowsPerPiece = 128;
inline int64_t pieces_of(int64_t rows) { return (rows + kRowsPerPiece - 1) / kRowsPerPiece; }

// Calls body(piece, first_row, last_row) for every piece. `columns` is the length of a row.
template <class Body>
void for_each_piece(int64_t rows, int64_t columns, const Body& body) {
  parallel_rows(pieces_of(rows), kRowsPerPiece * columns, [&](int64_t piece) {
    body(piece, piece * kRowsPerPiece, std::min(rows, (piece + 1) * kRowsPerPiece));
  });
}

// Sums over the rows of a matrix, of `columns` numbers each: results[0], results[1], ... get what add(first_row,
// last_row, sums) adds for every piece to its sums, which follow each other there and are 0 before. Pieces are joined
// by a balanced tree.
template <class T, size_t kSums, class Add>
void sum_pieces(CpuContext& ctx, int64_t rows, int64_t columns, const std::array<T*, kSums>& results, const Add& add) {
  const int64_t pieces = pieces_of(rows), count = int64_t{kSums} * columns;
  Scratch scratch(ctx, static_cast<size_t>(std::max<int64_t>(1, pieces) * count) * sizeof(T));
  T* partial = scratch.as<T>();
  if (rows == 0) std::fill(partial, partial + count, T(0));
  for_each_piece(rows, columns, [&](int64_t piece, int64_t first, int64_t last) {
    T* sums = partial + piece * count;
    std::fill(sums, sums + count, T(0));
    add(first, last, sums);
  });
  for (int64_t step = 1; step < pieces; step *= 2)
    for (int64_t piece = 0; piece + step < pieces; piece += 2 * step) {
      T* to = partial + piece * count;
      const T* from = to + step * count;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) to[i] += from[i];
    }
  for (size_t i = 0; i < kSums; ++i) std::copy_n(partial + static_cast<int64_t>(i) * columns, columns, results[i]);
}

// The sum of term(i) over [0, count), in double.
template <class Term>
double ordered_sum(CpuContext& ctx, int64_t count, const Term& term) {
  constexpr int64_t kLength = 16384;
  const int64_t pieces = (count + kLength - 1) / kLength;
  Scratch scratch(ctx, static_cast<size_t>(pieces) * sizeof(double));
  auto* partial = scratch.as<double>();
  parallel_rows(pieces, kLength, [&](int64_t piece) {
    partial[piece] = pairwise_sum<double>(piece * kLength, std::min(count, (piece + 1) * kLength), term);
  });
  return pairwise_sum<double>(0, pieces, [partial](int64_t piece) { return partial[piece]; });
}

}  // namespace engine
