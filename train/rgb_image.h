// A picture in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "io/frame_source.h"

namespace engine {

struct RgbImage {
  FrameSize size{};
  std::vector<uint8_t> rgb{};  // (height, width, 3), row-major
};

}  // namespace engine
