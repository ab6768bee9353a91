// Scaled-dot-product attention of several heads (Vaswani et al., "Attention is all you need", arXiv 1706.03762, 3.2).
#pragma once

#include "kernels/dropout.h"

namespace engine {

// For every batch n and head h, with queries s and keys l:
//   P[s, l] = softmax over the l that s sees of scale (q[s] . k[l]),   y[s] = sum over l of dropout(P)[s, l] v[l].
// A query that sees no key has y = 0.
struct Attention {
  double scale = 1.0;
  bool causal = false;         // query s sees keys l <= s only
  Dropout dropout{0.0, 0, 0};  // of P; the index of an element is that in (N, H, S, L)
};

// q, y (N, S, H, D), k, v (N, L, H, D), one float type, no axis but N and H of size 0. Of q, k and v only the innermost
// stride is 1, so that parts of a packed (N, S, 3, H, D) are views; y is contiguous. lengths: i64 (N), key l of batch n
// is seen only where l < lengths[n], or undefined. step: one i64, read when the kernel runs, or undefined where the
// probability of dropout is 0. lse (N, H, S), contiguous, f32 (f64 in f64): log of the sum over l of e^(scale q . k),
// -infinity for a query that sees no key.
//
// On CUDA in bf16 more than 128 queries or keys go to cuDNN's fused kernels where it has them (kernels/cuda/sdpa.h).
// Its statistics are this very logarithm; it rounds probabilities to bf16, but not scores.
ENGINE_KERNEL(attention_forward, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
              ConstView step, View y, View lse);

// y and lse are those of forward; y and dy are contiguous. Assigns dq, dk and dv, which may have strides as q, k and v.
ENGINE_KERNEL(attention_backward, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
              ConstView step, ConstView y, ConstView lse, ConstView dy, View dq, View dk, View dv);

}  // namespace engine
