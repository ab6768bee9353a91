// A clip stored as a folder of numbered images, one file a frame.
#pragma once

#include "io/frame_source.h"

namespace engine {

// Frames are the PNG and JPEG files of the folder, ordered by name with numbers compared as numbers (2 before 10).
class FrameFolder final : public FrameSource {
 public:
  // Throws kNoInput when the folder cannot be read, kData when it holds no image or the first one cannot be decoded.
  explicit FrameFolder(const std::string& path, const SourceOptions& options = {});

  int64_t frame_count() const override { return std::ssize(files_); }
  FrameSize size() const override { return size_; }  // of the first image; others are scaled to what is asked for
  void read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) override;
  void view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) override;

 private:
  // Through `view` where there is one.
  void read(std::span<const int64_t> indices, FrameSize size, const FrameView* view, std::span<uint8_t> rgb);

  std::string path_;
  SourceOptions options_;
  std::vector<std::string> files_;
  FrameSize size_;
};

}  // namespace engine
