#include "kernels/dropout.h"

#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/philox.h"

namespace engine {
namespace {

constexpr int64_t kBlocks = 64;         // Philox blocks drawn at a time
constexpr int64_t kTile = 4 * kBlocks;  // elements they serve

// keep[i] = whether element tile kTile + i stays. Words are collected by their position in the block first, so that the
// ten rounds run on vectors of blocks.
void draw_mask(const Dropout& p, int64_t step, int64_t tile, uint32_t threshold, uint32_t* keep) {
  uint32_t words[4][kBlocks];
  const uint64_t key = p.key;
  const auto first = static_cast<uint32_t>(tile * kBlocks), stream = p.stream;
  const auto low = static_cast<uint32_t>(step), high = static_cast<uint32_t>(static_cast<uint64_t>(step) >> 32);
#pragma omp simd
  for (uint32_t block = 0; block < kBlocks; ++block) {
    const auto drawn = philox(key, {first + block, low, high, stream});
    for (size_t word = 0; word < 4; ++word) words[word][block] = drawn[word];
  }
  for (int64_t block = 0; block < kBlocks; ++block)
    for (int64_t word = 0; word < 4; ++word) keep[4 * block + word] = (words[word][block] >> 8) >= threshold;
}

}  // namespace

void dropout(CpuContext& ctx, const Dropout& p, ConstView step, ConstView x, View y) {
  const InF32 in_f32(ctx, step, x, y);
  // u < p for u = k 2^-24 is k < ceil(p 2^24).
  const auto threshold = static_cast<uint32_t>(std::ceil(p.probability * 0x1p24));
  const int64_t now = *step.as<int64_t>(), count = x.elements();
  dispatch_float(x.dtype, [&]<class T>() {
    const T scale = static_cast<T>(1 / (1 - p.probability)), *in = x.as<T>();
    T* out = y.as<T>();
    parallel_rows((count + kTile - 1) / kTile, kTile, [&](int64_t tile) {
      uint32_t keep[kTile];
      draw_mask(p, now, tile, threshold, keep);
      const int64_t first = tile * kTile, length = std::min(kTile, count - first);
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) {
        const T value = in[first + i] * scale;
        out[first + i] = keep[i] ? value : T(0);
      }
    });
  });
}

}  // namespace engine
