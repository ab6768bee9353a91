// Dropout (kernels/dropout.h) inside a kernel: what stays is drawn again wherever it is needed. One call of Philox for
// 4 elements.
#pragma once

#include <cmath>

#include "kernels/cuda/device.h"
#include "kernels/dropout.h"
#include "kernels/philox.h"

namespace engine {

struct DropoutMask {
  uint64_t key;
  uint32_t stream, threshold;  // u < p for u = k 2^-24 is k < ceil(p 2^24); 0 where nothing is dropped
  float scale;
  const int64_t* step;

  __device__ std::array<uint32_t, 4> draw(uint32_t block) const {
    const auto now = static_cast<uint64_t>(*step);
    return philox(key, {block, static_cast<uint32_t>(now), static_cast<uint32_t>(now >> 32), stream});
  }
  // What the element at this index is multiplied by.
  __device__ float factor(int64_t index) const {
    const auto words = draw(static_cast<uint32_t>(index / 4));
    // Chosen, not indexed: an index that is not constant would put the words into memory.
    const auto at = static_cast<unsigned>(index) % 4;
    const uint32_t word = at < 2 ? (at == 0 ? words[0] : words[1]) : (at == 2 ? words[2] : words[3]);
    return (word >> 8) >= threshold ? scale : 0.0f;
  }
  // Drops from the kCount elements from index `first` on, values of T that stay such. kWhole: `first` is a multiple of
  // 4 (or kCount).
  template <class T, bool kWhole, int kCount>
  __device__ void apply(int64_t first, float (&values)[kCount]) const {
    const auto block = static_cast<uint32_t>(first >> 2);
    const int skipped = kWhole ? 0 : static_cast<int>(first & 3);
    uint32_t kept = 0;  // a bit for each element; an array that a loop indexes would be in memory
#pragma unroll(kWhole ? 2 : 1)
    for (int i = 0; i < skipped + kCount; i += 4) {
      const auto words = draw(block + static_cast<uint32_t>(i / 4));
#pragma unroll
      for (int k = 0; k < 4; ++k) kept |= static_cast<uint32_t>((words[k] >> 8) >= threshold) << (i + k);
    }
    kept >>= skipped;
    // The product is rounded before anything is added to it.
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] = kept >> i & 1 ? to_f32(from_f32<T>(__fmul_rn(values[i], scale))) : 0.0f;
  }
};

inline DropoutMask mask_of(const Dropout& p, const ConstView& step) {
  return {p.key, p.stream, static_cast<uint32_t>(std::ceil(p.probability * 0x1p24)),
          static_cast<float>(1 / (1 - p.probability)), optional<int64_t>(step)};
}

}  // namespace engine
