#include "io/frame_source.h"

#include <filesystem>

#include "io/frame_folder.h"
#include "io/video.h"

namespace engine {

namespace {

// Bytes of the well-formed UTF-8 sequence at the start of `text`; 0 when there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = byte(0);
  const size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
  for (size_t i = 1; i < length; ++i)
    if (byte(i) >> 6 != 2) return 0;
  return length;
}

}  // namespace

std::string printable(std::string_view text, size_t limit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string result;
  while (!text.empty() && result.size() < limit) {
    const size_t length = utf8_length(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (length == 0 || byte < 0x20 || byte == 0x7f) {
      result += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
      text.remove_prefix(1);
    } else {
      result += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return text.empty() ? result : result + "...";
}

void check_room(const std::string& path, size_t frames, FrameSize size, std::span<const uint8_t> rgb) {
  ENGINE_CHECK(size.width > 0 && size.height > 0, printable(path), ": frames of ", size.width, "x", size.height,
               " asked for; both must be positive");
  ENGINE_CHECK(rgb.size() == frames * size.bytes(), printable(path), ": ", frames, " frames of ", size.width, "x",
               size.height, " need ", frames * size.bytes(), " bytes, not ", rgb.size());
}

std::unique_ptr<FrameSource> open_frames(const std::string& path, const SourceOptions& options) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return std::make_unique<FrameFolder>(path, options);
  return std::make_unique<VideoReader>(path, options);
}

}  // namespace engine
