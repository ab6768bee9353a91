// Pixels to numbers.
#pragma once

#include <array>

#include "kernels/context.h"

namespace engine {

struct NormalizeFrames {
  static constexpr int64_t kMaxChannels = 16;
  std::array<double, kMaxChannels> scale{}, shift{};  // the first C count
};

// y[..., c] = scale[c] x[..., c] + shift[c]. x (..., C) u8, C <= kMaxChannels; y the same shape, float.
void normalize_frames(CpuContext& ctx, const NormalizeFrames& p, ConstView x, View y);
void normalize_frames(CudaContext& ctx, const NormalizeFrames& p, ConstView x, View y);

}  // namespace engine
