// What clips are read from: a numbered row of pictures, whatever they are stored in.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace engine {

// Width and height in pixels, as shown. 0 x 0 stands for "the source's own size".
struct FrameSize {
  int width = 0;
  int height = 0;
  bool operator==(const FrameSize&) const = default;
  // Bytes of one frame: RGB, 8 bits a channel, rows packed.
  size_t bytes() const { return static_cast<size_t>(width) * static_cast<size_t>(height) * 3; }
};

// How all frames of a clip are seen: one affine map and one matrix of colours take them from what is stored to what the
// batch holds, in one pass. Where that shrinks a picture by 2 or more, 2 x 2 samples become one (the mean, rounded)
// once for every factor of 2 before; the rest is bilinear.
struct FrameView {
  FrameSize size;  // of the result
  // Row by row (2, 3): from a place in the result (pixel (x, y) covers [x, x + 1) x [y, y + 1)) to one in the picture
  // as shown, whose width and height are 1 here.
  std::array<double, 6> affine{};
  // Row by row (3, 4): from R, G, B of 0..255 and 1 to R, G, B; what leaves 0..255 is limited at the end.
  std::array<double, 12> colour{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  std::array<double, 3> fill{};  // R, G, B of 0..255, of what is erased and of what lies outside the picture,
  bool fill_border = false;      // where the border's pixels are not repeated
  std::array<int, 4> erased{};   // left, top, right, bottom: pixels of the result, right and bottom not included
  // As others do it, in two passes: RGB of 8 bits at the picture's own size first (by swscale), then bilinear, nothing
  // smoothed. With `cut` (x, y, width, height in pixels of the picture) nothing outside of it has a part.
  bool rgb_first = false;
  std::array<int, 4> cut{};
};

// The whole picture in `size`.
FrameView whole_view(FrameSize size);

// What YUV pictures are converted by that do not say: BT.601, BT.709, or BT.709 from 720 rows or 1280 columns on.
enum class Untagged { bt601, bt709, automatic };

// Limits on what a file may ask for, and what is to be believed of it.
struct SourceOptions {
  int64_t max_pixels = int64_t{4096} * 2304;  // of one picture; larger ones are refused
  double timeout_seconds = 60;                // without progress (an opened file, a frame) before giving up
  Untagged untagged = Untagged::bt601;        // of frames that are seen through a FrameView
  std::stop_token stop = {};                  // a request to stop ends a read with an Error of code kStopped
};

// One thread at a time. Numbers of frames count from 0 in the order of showing.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  // How many frames the source lists. Damaged sources may hold fewer: read_frames() throws for those that are missing.
  virtual int64_t frame_count() const = 0;
  virtual FrameSize size() const = 0;
  // When the frames are shown: seconds from the first, ascending, one per frame. Empty where the source knows no times.
  virtual const std::vector<double>& times() const;
  // Width over height of a pixel of the picture as shown; size() counts pixels.
  virtual double pixel_aspect() const { return 1; }
  // Writes the frames with these numbers, in this order (any order, repeats allowed), scaled to `size`, into `rgb`:
  // (indices.size(), size.height, size.width, 3), row-major. Every frame needed is decoded once. Throws kData naming
  // the source and the first frame that cannot be decoded.
  virtual void read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) = 0;
  // The same, seen through `view`.
  virtual void view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) = 0;
};

// A video file, a decoded clip (io/decoded_clip.h), or a folder of numbered images. Throws kNoInput when it is missing
// or unreadable, kData when it is none of them.
std::unique_ptr<FrameSource> open_frames(const std::string& path, const SourceOptions& options = {});

// Throws unless `rgb` has room for `frames` pictures of `size`.
void check_room(const std::string& path, size_t frames, FrameSize size, std::span<const uint8_t> rgb);

}  // namespace engine
