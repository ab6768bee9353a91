// Internal to io/: pictures as they are stored, seen in one pass (kernels/frame.h) through a FrameView.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/ops.h"
#include "io/demuxer.h"
#include "io/frame_source.h"

namespace engine {

using ColourMatrix = std::array<double, 12>;  // (3, 4), row by row

// What b makes of what a has made.
ColourMatrix followed(const ColourMatrix& a, const ColourMatrix& b);
// From Y, Cb, Cr as stored, in `bits` bits, to R, G, B of 0..255: Y = kr R + (1 - kr - kb) G + kb B (ITU-T H.273).
ColourMatrix yuv_to_rgb(double kr, double kb, bool full_range, int bits);

// A picture as it lies in memory: three samples for every pixel, of which the second and third may be subsampled.
struct StoredPicture {
  struct Samples {
    const uint8_t* first;
    int64_t stride, step;  // bytes from row to row and from sample to sample
  };
  int width, height;
  std::array<Samples, 3> samples;  // Y, Cb, Cr or R, G, B; grey: the same three times
  bool wide = false;               // samples are two bytes, the low one first
  int shift_x = 0, shift_y = 0;    // the second and third are every 2^shift-th
  double site_x = 0, site_y = 0;   // of the first of them from the first of the others, in pixels
  ColourMatrix to_rgb{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  av::Orientation orientation = {};
};
// Rows of 8-bit R, G, B, `stride` bytes apart.
StoredPicture packed_rgb(const uint8_t* rgb, FrameSize size, int64_t stride);

// Sees picture after picture; keeps its memory. On the calling thread, and where that is none of a team, on its team
// (kernels/context.h: cpu_threads).
class PictureViewer {
 public:
  // Writes (view.size.height, view.size.width, 3).
  void see(const StoredPicture& stored, const FrameView& view, uint8_t* rgb);

 private:
  // The samples, halved so many times, become a plane of its own in the memory.
  struct Plane {
    int64_t start;
    int width, height;
  };
  Plane add_plane(const StoredPicture::Samples& samples, int width, int height, bool wide, int halvings);
  uint8_t* room(int64_t start, int64_t bytes);

  std::vector<uint8_t> memory_;
  int64_t used_ = 0;
};

}  // namespace engine
