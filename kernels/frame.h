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
ENGINE_KERNEL(normalize_frames, const NormalizeFrames& p, ConstView x, View y);

// How one picture, as a decoder gives it, is seen: where its samples lie in a buffer of bytes that many pictures may
// share, through which affine map, and what numbers they become. Crop, resize, rotation and flip are one matrix, and so
// are the conversion from YUV, brightness, contrast, saturation and hue.
struct Picture {
  // Rows of samples: of the first plane (Y, or R), and of the other two (Cb and Cr, or G and B), which may be
  // subsampled. The matrix m leads from the result to a place in the plane. Places are continuous: sample (h, w) covers
  // [w, w + 1) x [h, h + 1), so {W/Q, 0, 0; 0, H/P, 0} shows the whole plane in (P, Q) and {-1, 0, W; 0, 1, 0} its
  // mirror image. Where chroma samples lie (their siting) is part of their matrix.
  struct Grid {
    int32_t width, height;  // 1 .. 2^24
    // Bytes from row to row and from sample to sample. Two neighbours lie within 4 bytes (planar and NV12 in 8 bits,
    // packed RGB, planar in 16), and the buffer goes on for 4 bytes from the last sample on, which is less than 2^31
    // bytes from the first.
    int32_t stride, step;
    float m[2][3];
  };
  Grid grid[2];
  int64_t plane[3];     // where each plane's first sample lies; grey pictures have one plane three times
  float colour[3][4];   // from the three samples and 1 to R, G, B of 0 .. 255
  float fill[3];        // R, G, B of what is outside or erased
  int32_t wide;         // samples are two bytes, the low one first; else one
  int32_t fill_border;  // outside the first plane is `fill`; else the border's samples are repeated
  int32_t erased[4];    // left, top, right, bottom of a part of the result that is `fill`: left <= q < right
};

// N pictures of any sizes and formats, seen and then scaled and shifted like above. pixels u8, the buffer; pictures
// (N sizeof(Picture)) u8, aligned for Picture; y (N,P,Q,K) float or u8, K >= 3, its channels from 3 on are 0. Output
// pixel (p, q) shows, of each plane, the place (u, v):
//   u = m[0][0] (q + 1/2) + m[0][1] (p + 1/2) + m[0][2],  v likewise by m[1],
// between the samples whose centres are around it (bilinear), with the border's repeated outside. The three values go
// through `colour`, are limited to 0 .. 255, scaled and shifted; for u8 the result is limited again and rounded (halves
// up). Whatever y's type, u is computed in f32 as fmaf(m[0][0], q + 1/2, fmaf(m[0][1], p + 1/2, m[0][2])), so that all
// backends see the same place; one that is NaN counts as 0, and as outside. Nothing is smoothed: to shrink by more than
// 2 skips samples.
ENGINE_KERNEL(warp_frames, const NormalizeFrames& p, ConstView pixels, ConstView pictures, View y);

}  // namespace engine
