// What the attention kernels share: which keys a query sees, and which probabilities are dropped.
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/dropout.cuh"

namespace engine {

// P (N, H, S, L), as far as it is seen and kept.
struct AttentionMask {
  int heads, queries, keys;
  bool causal;
  DropoutMask dropout;
  const int64_t* lengths;

  AttentionMask(const Attention& p, int64_t h, int64_t s, int64_t l, const ConstView& length_view,
                const ConstView& step)
      : heads(static_cast<int>(h)),
        queries(static_cast<int>(s)),
        keys(static_cast<int>(l)),
        causal(p.causal),
        dropout(mask_of(p.dropout, step)),
        lengths(optional<int64_t>(length_view)) {}

  // The number of keys that a query of a batch sees: the first ones.
  __device__ int seen(int64_t batch, int query) const {
    int end = keys;
    if (lengths != nullptr && lengths[batch] < end) end = lengths[batch] > 0 ? static_cast<int>(lengths[batch]) : 0;
    return causal && query + 1 < end ? query + 1 : end;
  }
  // What dropout multiplies the probability at this index in (N, H, S, L) by.
  __device__ float factor(int64_t index) const { return dropout.threshold ? dropout.factor(index) : 1.0f; }
};

}  // namespace engine
