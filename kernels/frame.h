// Pixels to numbers.
#pragma once

#include <array>

#include "kernels/context.h"

namespace engine {

// One axis of a bilinear sample: two neighbouring pixels and the weight of the second.
struct BilinearSample {
  int first, second;
  float weight;

  constexpr BilinearSample(float place, int size) {
    const float last = static_cast<float>(size - 1);
    float from_first_centre = place - 0.5f > 0 ? place - 0.5f : 0.0f;  // NaN is 0
    if (from_first_centre > last) from_first_centre = last;
    first = static_cast<int>(from_first_centre);
    second = std::min(first + 1, size - 1);
    weight = from_first_centre - static_cast<float>(first);
  }
};

struct NormalizeFrames {
  static constexpr int64_t kMaxChannels = 16;
  std::array<double, kMaxChannels> scale{}, shift{};  // the first C count
};

// y[..., c] = scale[c] x[..., c] + shift[c]. x (..., C) u8, C <= kMaxChannels; y the same shape, float.
void normalize_frames(CpuContext& ctx, const NormalizeFrames& p, ConstView x, View y);
void normalize_frames(CudaContext& ctx, const NormalizeFrames& p, ConstView x, View y);

// Every frame seen through an affine map of its own, then scaled and shifted like above: crop, resize, rotation and
// flip are one matrix. x (N,H,W,C) u8, 1 <= H, W <= 2^24, C <= kMaxChannels; matrix (N,2,3) f32; y (N,P,Q,K) float, K
// >= C, its channels from C on are 0. Places are continuous: pixel (h, w) covers [w, w + 1) x [h, h + 1), so {W/Q, 0,
// 0; 0, H/P, 0} shows the whole frame and {-1, 0, W; 0, 1, 0} its mirror image. Output pixel (p, q) shows the place (u,
// v):
//   u = m[0][0] (q + 1/2) + m[0][1] (p + 1/2) + m[0][2],  v likewise by m[1],
// between the pixels whose centres are around it (bilinear), with the border's pixels repeated outside. Whatever y's
// type, u is computed in f32 as fmaf(m[0][0], q + 1/2, fmaf(m[0][1], p + 1/2, m[0][2])), so that all backends see the
// same place; one that is NaN counts as 0. Nothing is smoothed: to shrink by more than 2 skips pixels.
void warp_frames(CpuContext& ctx, const NormalizeFrames& p, ConstView x, ConstView matrix, View y);
void warp_frames(CudaContext& ctx, const NormalizeFrames& p, ConstView x, ConstView matrix, View y);

}  // namespace engine
