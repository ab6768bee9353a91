// Internal to io/: the units that H.264 and HEVC streams consist of.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace engine::av {

// Takes the next unit off the front of `data`; empty at the end. `length_bytes`: of the number in front of every unit;
// 0: units are separated by start codes.
inline std::span<const uint8_t> next_unit(std::span<const uint8_t>& data, int length_bytes) {
  size_t begin = static_cast<size_t>(length_bytes), length = 0;
  if (length_bytes > 0) {
    if (data.size() < begin) return data = {};
    for (size_t i = 0; i < begin; ++i) length = length << 8 | data[i];
    length = std::min(length, data.size() - begin);
  } else {
    constexpr uint8_t kStartCode[] = {0, 0, 1};
    const auto found = std::ranges::search(data, kStartCode);
    if (found.empty()) return data = {};
    begin = static_cast<size_t>(found.end() - data.begin());
    length = static_cast<size_t>(std::ranges::search(data.subspan(begin), kStartCode).begin() - data.begin()) - begin;
  }
  const std::span<const uint8_t> unit = data.subspan(begin, length);
  data = data.subspan(begin + length);
  return unit;
}

}  // namespace engine::av
