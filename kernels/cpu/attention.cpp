#include "kernels/attention.h"

#include <limits>

#include "kernels/attention_composed.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace engine {
namespace {

using vector_math::decay;

// Calls body(row, end) for every row of scores (N, H, S, L), where the row sees the keys before `end`.
template <class Body>
void for_each_row(const Attention& p, const Shape& scores, const ConstView& lengths, const Body& body) {
  const int64_t heads = scores[1], queries = scores[2], keys = scores[3];
  const int64_t* const known = optional<int64_t>(lengths);
  parallel_rows(scores.elements(0, 3), 4 * keys, [&](int64_t row) {
    const int64_t given = known ? std::clamp<int64_t>(known[row / (heads * queries)], 0, keys) : keys;
    body(row, p.causal ? std::min(given, row % queries + 1) : given);
  });
}

// Row `x` of `keys` elements, of which those before `end` are seen, becomes softmax(scale x). Returns its log-sum-exp.
template <class T>
T softmax_row(T scale, int64_t keys, int64_t end, T* x) {
  std::fill(x + end, x + keys, T(0));
  if (end == 0) return -std::numeric_limits<T>::infinity();
#pragma omp simd
  for (int64_t l = 0; l < end; ++l) x[l] *= scale;
  const T max = largest(x, end);
  const T sum = pairwise_sum<T>(0, end, [=](int64_t l) { return x[l] = decay(x[l] - max); }), inverse = 1 / sum;
#pragma omp simd
  for (int64_t l = 0; l < end; ++l) x[l] *= inverse;
  return max + std::log(sum);
}

// x becomes P = softmax(scale x), and dx, its gradient, becomes that of x: scale P (dP - sum of P dP).
template <class T>
void softmax_row_backward(T scale, int64_t keys, int64_t end, T lse, T* x, T* dx) {
  std::fill(x + end, x + keys, T(0));
  std::fill(dx + end, dx + keys, T(0));
  const T dot = pairwise_sum<T>(0, end, [=](int64_t l) { return (x[l] = decay(x[l] * scale - lse)) * dx[l]; });
#pragma omp simd
  for (int64_t l = 0; l < end; ++l) dx[l] = scale * x[l] * (dx[l] - dot);
}

// Views of some batches, of those that are given.
template <class V>
V batches(const V& v, int64_t first, int64_t count) {
  if (!v.defined()) return v;
  V some = v;
  some.data = static_cast<const char*>(v.data) + first * v.strides[0] * size_of(v.dtype);
  some.shape[0] = count;
  return some;
}

// Calls body(first, count) for as many batches at a time as have their scores in the processors' caches. Dropout's
// mask is one of all scores, so it takes all batches.
template <class Body>
void for_some_batches(const Attention& p, const ConstView& q, const ConstView& k, const Body& body) {
  constexpr int64_t kScores = 1 << 17;  // of a thread
  const int64_t all = q.shape[0], each = q.shape[2] * q.shape[1] * k.shape[1];
  const int64_t busy = (cpu_threads() + q.shape[2] - 1) / q.shape[2];  // a head for every thread
  const int64_t some = p.dropout.probability > 0 ? all : std::max(busy, kScores * cpu_threads() / each);
  for (int64_t first = 0; first < all; first += some) body(first, std::min(some, all - first));
}

}  // namespace

void attention_scores_forward(CpuContext& ctx, const Attention& p, ConstView lengths, ConstView step, View scores,
                              View lse) {
  dispatch_float(scores.dtype, [&]<class T>() {
    T *x = scores.as<T>(), *sums = lse.as<T>();
    const int64_t keys = scores.shape[3];
    for_each_row(p, scores.shape, lengths, [&](int64_t row, int64_t end) {
      sums[row] = softmax_row(static_cast<T>(p.scale), keys, end, x + row * keys);
    });
  });
  if (p.dropout.probability > 0) dropout(ctx, p.dropout, step, scores, scores);
}

void attention_scores_backward(CpuContext& ctx, const Attention& p, ConstView lengths, ConstView step, ConstView lse,
                               View scores, View dscores) {
  if (p.dropout.probability > 0) dropout(ctx, p.dropout, step, dscores, dscores);
  dispatch_float(scores.dtype, [&]<class T>() {
    T *x = scores.as<T>(), *dx = dscores.as<T>();
    const T* sums = lse.as<T>();
    const int64_t keys = scores.shape[3];
    for_each_row(p, scores.shape, lengths, [&](int64_t row, int64_t end) {
      softmax_row_backward(static_cast<T>(p.scale), keys, end, sums[row], x + row * keys, dx + row * keys);
    });
  });
  if (p.dropout.probability > 0) dropout(ctx, p.dropout, step, scores, scores);
}

void attention_forward(CpuContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                       ConstView step, View y, View lse) {
  const InF32 in_f32(ctx, q, k, v, lengths, step, y, lse);
  for_some_batches(p, q, k, [&](int64_t first, int64_t count) {
    const auto part = [=](const auto& view) { return batches(view, first, count); };
    attention_composed::forward(ctx, p, part(q), part(k), part(v), part(lengths), step, part(y), part(lse));
  });
}

void attention_backward(CpuContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                        ConstView step, ConstView y, ConstView lse, ConstView dy, View dq, View dk, View dv) {
  const InF32 in_f32(ctx, q, k, v, lengths, step, y, lse, dy, dq, dk, dv);
  for_some_batches(p, q, k, [&](int64_t first, int64_t count) {
    const auto part = [=](const auto& view) { return batches(view, first, count); };
    attention_composed::backward(ctx, p, part(q), part(k), part(v), part(lengths), step, part(lse), part(dy), part(dq),
                                 part(dk), part(dv));
  });
}

}  // namespace engine
