// PNG pictures without FFmpeg: ISO/IEC 15948, with the compression of RFC 1950 and RFC 1951.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/frame_source.h"

namespace engine {

struct PngPicture {
  FrameSize size;
  std::vector<uint8_t> rgb;  // (height, width, 3)
};

// Of `bytes`, a whole file. Grey, colours and palettes of any depth become 8 bits a channel, of 16 bits the higher
// eight; transparency is ignored. Throws kData, naming `path`, for what is no PNG, damaged, interlaced or larger than
// `max_pixels`.
PngPicture decode_png(const std::string& bytes, const std::string& path, int64_t max_pixels);

}  // namespace engine
