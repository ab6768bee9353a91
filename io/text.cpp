#include "io/text.h"

#include <algorithm>
#include <cstdint>

namespace engine {
namespace {

struct Range {
  unsigned char low, high;
  bool holds(unsigned char byte) const { return low <= byte && byte <= high; }
};

// What may follow the first byte of a character: RFC 3629, section 4, which excludes overlong forms, surrogates and
// everything above U+10FFFF.
Range second_byte_of(unsigned char first) {
  switch (first) {
    case 0xe0:
      return {0xa0, 0xbf};
    case 0xed:
      return {0x80, 0x9f};
    case 0xf0:
      return {0x90, 0xbf};
    case 0xf4:
      return {0x80, 0x8f};
    default:
      return {0x80, 0xbf};
  }
}

// Bytes of the character that `text` (not empty) starts with; 0 when it is not a valid one.
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size_t bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (text.size() < bytes || !second_byte_of(first).holds(byte(1))) return 0;
  for (size_t i = 2; i < bytes; ++i)
    if (!Range{0x80, 0xbf}.holds(byte(i))) return 0;
  return bytes;
}

// U+0000..U+001F, U+007F..U+009F
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character_bytes(text.substr(at));
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::string_view::npos;
}

std::string escaped(std::string_view text, size_t limit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string shown;
  size_t at = 0;
  while (at < std::min(limit, text.size())) {
    const size_t bytes = character_bytes(text.substr(at));
    const std::string_view character = text.substr(at, std::max<size_t>(bytes, 1));
    const auto last = static_cast<unsigned char>(character.back());
    if (bytes == 0 || is_control(character))
      shown.append(bytes == 0 ? "\\x" : "\\u00").append({kDigits[last >> 4], kDigits[last & 15]});
    else
      shown += character;
    at += character.size();
  }
  return at < text.size() ? shown + "..." : shown;
}

}  // namespace engine
