// Pictures as PNG and JPEG files.
#pragma once

#include <span>
#include <string>

#include "io/frame_source.h"

namespace engine {

// Writes RGB, (height, width, 3) row-major, as what the name ends in: .png without loss, .jpg with little. The file is
// there whole or not at all. Throws kUsage for another ending, kStorage when writing fails, kNoDevice in a build
// without FFmpeg.
void write_image(const std::string& path, std::span<const uint8_t> rgb, FrameSize size);

}  // namespace engine
