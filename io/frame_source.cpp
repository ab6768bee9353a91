#include "io/frame_source.h"

#include <filesystem>

#include "io/decoded_clip.h"
#include "io/frame_folder.h"
#include "io/text.h"
#include "io/video.h"

namespace engine {

void check_room(const std::string& path, size_t frames, FrameSize size, std::span<const uint8_t> rgb) {
  ENGINE_CHECK(size.width > 0 && size.height > 0, escaped(path), ": frames of ", size.width, "x", size.height,
               " asked for; both must be positive");
  ENGINE_CHECK(rgb.size() == frames * size.bytes(), escaped(path), ": ", frames, " frames of ", size.width, "x",
               size.height, " need ", frames * size.bytes(), " bytes, not ", rgb.size());
}

FrameView whole_view(FrameSize size) {
  return {.size = size, .affine = {1.0 / size.width, 0, 0, 0, 1.0 / size.height, 0}};
}

const std::vector<double>& FrameSource::times() const {
  static const std::vector<double> none;
  return none;
}

std::unique_ptr<FrameSource> open_frames(const std::string& path, const SourceOptions& options) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return std::make_unique<FrameFolder>(path, options);
  if (is_decoded_clip_name(path)) return std::make_unique<DecodedClip>(path);
  return std::make_unique<VideoReader>(path, options);
}

}  // namespace engine
