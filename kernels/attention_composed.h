// Attention as products of matrices around a pass over the scores (N, H, S, L), written once for all contexts. The
// whole implementation on the CPU; on CUDA it serves what is too long for one block (kernels/cuda/attention.cu).
#pragma once

#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/scratch.h"

namespace engine {

// scores: q . k; replaced by dropout(P). lse is assigned. Contiguous; on the CPU f32 or f64.
ENGINE_KERNEL(attention_scores_forward, const Attention& p, ConstView lengths, ConstView step, View scores, View lse);

// scores: q . k, replaced by dropout(P); dscores: dy . v, the gradient of dropout(P), replaced by the gradient of q .
// k.
ENGINE_KERNEL(attention_scores_backward, const Attention& p, ConstView lengths, ConstView step, ConstView lse,
              View scores, View dscores);

namespace attention_composed {

// (N, S, H, D) as (N, H, S, D), a matrix for every head.
template <class V>
V by_head(const V& v) {
  return swapped(v, 1, 2);
}

template <class Context>
void forward(Context& ctx, const Attention& p, const ConstView& q, const ConstView& k, const ConstView& v,
             const ConstView& lengths, const ConstView& step, const View& y, const View& lse) {
  const Unary identity{Unary::affine};
  const ScratchArray memory(ctx, q.dtype, {q.shape[0], q.shape[2], q.shape[1], k.shape[1]});
  const View scores = memory.view();
  matmul(ctx, identity, by_head(q), transposed(by_head(k)), {}, scores);
  attention_scores_forward(ctx, p, lengths, step, scores, lse);
  matmul(ctx, identity, scores, by_head(v), {}, by_head(y));
}

template <class Context>
void backward(Context& ctx, const Attention& p, const ConstView& q, const ConstView& k, const ConstView& v,
              const ConstView& lengths, const ConstView& step, const ConstView& lse, const ConstView& dy,
              const View& dq, const View& dk, const View& dv) {
  const Unary identity{Unary::affine};
  const Shape shape{q.shape[0], q.shape[2], q.shape[1], k.shape[1]};
  const ScratchArray score_memory(ctx, q.dtype, shape), gradient_memory(ctx, q.dtype, shape);
  const View scores = score_memory.view(), dscores = gradient_memory.view();
  matmul(ctx, identity, by_head(q), transposed(by_head(k)), {}, scores);
  matmul(ctx, identity, by_head(dy), transposed(by_head(v)), {}, dscores);
  attention_scores_backward(ctx, p, lengths, step, lse, scores, dscores);
  matmul(ctx, identity, transposed(scores), by_head(dy), {}, by_head(dv));
  matmul(ctx, identity, dscores, by_head(k), {}, by_head(dq));
  matmul(ctx, identity, transposed(dscores), by_head(q), {}, by_head(dk));
}

}  // namespace attention_composed
}  // namespace engine
