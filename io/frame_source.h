// What clips are read from: a numbered row of pictures, whatever they are stored in.
#pragma once

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

// Limits on what a file may ask for.
struct SourceOptions {
  int64_t max_pixels = int64_t{4096} * 2304;  // of one picture; larger ones are refused
  double timeout_seconds = 60;                // without progress (an opened file, a frame) before giving up
  std::stop_token stop = {};                  // a request to stop ends a read with an Error of code kStopped
};

// One thread at a time. Numbers of frames count from 0 in the order of showing.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  // How many frames the source lists. Damaged sources may hold fewer: read_frames() throws for those that are missing.
  virtual int64_t frame_count() const = 0;
  virtual FrameSize size() const = 0;
  // Writes the frames with these numbers, in this order (any order, repeats allowed), scaled to `size`, into `rgb`:
  // (indices.size(), size.height, size.width, 3), row-major. Every frame needed is decoded once. Throws kData naming
  // the source and the first frame that cannot be decoded.
  virtual void read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) = 0;
};

// A video file, a decoded clip (io/decoded_clip.h), or a folder of numbered images. Throws kNoInput when it is missing
// or unreadable, kData when it is none of them.
std::unique_ptr<FrameSource> open_frames(const std::string& path, const SourceOptions& options = {});

// Throws unless `rgb` has room for `frames` pictures of `size`.
void check_room(const std::string& path, size_t frames, FrameSize size, std::span<const uint8_t> rgb);

}  // namespace engine
