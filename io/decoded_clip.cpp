#include "io/decoded_clip.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "io/safetensors.h"
#include "io/text.h"

namespace engine {
namespace {

// Where a pixel of the result lies between two of the source.
struct Between {
  int64_t first, second;
  float weight;  // of the second
};

std::vector<Between> positions(int64_t source, int64_t result) {
  std::vector<Between> found;
  const double scale = static_cast<double>(source) / static_cast<double>(result);
  for (int64_t i = 0; i < result; ++i) {
    const double centre =
        std::clamp((static_cast<double>(i) + 0.5) * scale - 0.5, 0.0, static_cast<double>(source - 1));
    const auto first = static_cast<int64_t>(centre);
    found.push_back({first, std::min(first + 1, source - 1), static_cast<float>(centre - static_cast<double>(first))});
  }
  return found;
}

void resize(const uint8_t* from, FrameSize size, FrameSize wanted, uint8_t* to) {
  const std::vector<Between> rows = positions(size.height, wanted.height),
                             columns = positions(size.width, wanted.width);
  for (const Between& row : rows) {
    const uint8_t *const upper = from + row.first * size.width * 3, *const lower = from + row.second * size.width * 3;
    for (const Between& column : columns) {
      for (int64_t c = 0; c < 3; ++c) {
        const auto across = [&](const uint8_t* line) {
          const float left = line[column.first * 3 + c], right = line[column.second * 3 + c];
          return left + column.weight * (right - left);
        };
        const float above = across(upper), below = across(lower);
        *to++ = static_cast<uint8_t>(std::lround(above + row.weight * (below - above)));
      }
    }
  }
}

}  // namespace

bool is_decoded_clip_name(const std::string& name) { return name.ends_with(".frames"); }

DecodedClip::DecodedClip(const std::string& path) : path_(path) {
  TensorFile file;
  try {
    file = read_safetensors(path, "clip");
  } catch (const Error& error) {
    throw Error(error.what(), error.code() == exit_code::kCheckpoint ? exit_code::kData : error.code());
  }
  const bool valid = file.tensors.size() == 1 && file.tensors[0].name == "frames" &&
                     file.tensors[0].tensor.dtype() == DType::u8 && file.tensors[0].tensor.rank() == 4 &&
                     file.tensors[0].tensor.elements() > 0 && file.tensors[0].tensor.size(3) == 3;
  if (!valid)
    throw Error(
        concat("clip '", escaped(path), "': expected one tensor, `frames` (T,H,W,3) U8, with at least one pixel"),
        exit_code::kData);
  frames_ = file.tensors[0].tensor;
}

FrameSize DecodedClip::size() const { return {static_cast<int>(frames_.size(2)), static_cast<int>(frames_.size(1))}; }

void DecodedClip::read_frames(std::span<const int64_t> indices, FrameSize wanted, std::span<uint8_t> rgb) {
  if (wanted == FrameSize{}) wanted = size();
  check_room(path_, indices.size(), wanted, rgb);
  uint8_t* to = rgb.data();
  for (const int64_t index : indices) {
    ENGINE_CHECK(index >= 0 && index < frame_count(), escaped(path_), ": frame ", index, " asked for, but there are ",
                 frame_count());
    const uint8_t* const from = frames_.values<uint8_t>().data() + static_cast<size_t>(index) * size().bytes();
    if (wanted == size())
      std::memcpy(to, from, wanted.bytes());
    else
      resize(from, size(), wanted, to);
    to += wanted.bytes();
  }
}

void write_decoded_clip(const std::string& path, const Tensor& frames) {
  ENGINE_CHECK(frames.dtype() == DType::u8 && frames.rank() == 4 && frames.elements() > 0 && frames.size(3) == 3,
               "write_decoded_clip: expected frames (T,H,W,3) u8, got ", frames.shape(), " ", frames.dtype());
  write_safetensors(path, {{}, {{"frames", frames}}});
}

}  // namespace engine
