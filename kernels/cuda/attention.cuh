// What the attention kernels share: which keys a query sees, and which probabilities are dropped.
#pragma once

#include <cmath>

#include "kernels/attention.h"
#include "kernels/cuda/device.h"
#include "kernels/philox.h"

namespace engine {

// P (N, H, S, L), as far as it is seen and kept.
struct AttentionMask {
  int heads, queries, keys;
  bool causal, drops;
  uint32_t stream, threshold;  // u < p for u = k 2^-24 is k < ceil(p 2^24)
  uint64_t key;
  float kept;  // 1 / (1 - p)
  const int64_t *lengths, *step;

  AttentionMask(const Attention& p, int64_t h, int64_t s, int64_t l, const ConstView& length_view,
                const ConstView& step_view)
      : heads(static_cast<int>(h)),
        queries(static_cast<int>(s)),
        keys(static_cast<int>(l)),
        causal(p.causal),
        drops(p.dropout.probability > 0),
        stream(p.dropout.stream),
        threshold(static_cast<uint32_t>(std::ceil(p.dropout.probability * 0x1p24))),
        key(p.dropout.key),
        kept(static_cast<float>(1 / (1 - p.dropout.probability))),
        lengths(length_view.defined() ? length_view.as<int64_t>() : nullptr),
        step(drops ? step_view.as<int64_t>() : nullptr) {}

  // The number of keys that a query of a batch sees: the first ones.
  __device__ int seen(int64_t batch, int query) const {
    int end = keys;
    if (lengths != nullptr && lengths[batch] < end) end = lengths[batch] > 0 ? static_cast<int>(lengths[batch]) : 0;
    return causal && query + 1 < end ? query + 1 : end;
  }
  // What dropout multiplies the probability at this index in (N, H, S, L) by.
  __device__ float factor(int64_t index) const {
    if (!drops) return 1.0f;
    const auto now = static_cast<uint64_t>(*step);
    const auto words = philox(
        key, {static_cast<uint32_t>(index / 4), static_cast<uint32_t>(now), static_cast<uint32_t>(now >> 32), stream});
    // Chosen, not indexed: an index that is not constant would put the words into memory.
    const auto at = static_cast<unsigned>(index) % 4;
    const uint32_t word = at < 2 ? (at == 0 ? words[0] : words[1]) : (at == 2 ? words[2] : words[3]);
    return (word >> 8) >= threshold ? kept : 0.0f;
  }
};

}  // namespace engine
