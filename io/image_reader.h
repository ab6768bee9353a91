// Internal to io/: single images, by FFmpeg where the build has it, else by libpng and libjpeg-turbo.
#pragma once

#include <memory>
#include <string>

#include "io/frame_source.h"

namespace engine {

class ImageReader {
 public:
  explicit ImageReader(const SourceOptions& options);
  ~ImageReader();

  // Decodes `bytes`, a whole file, and gives the size of the picture. Throws kData, naming `path`, for what is neither
  // PNG nor JPEG, damaged or larger than the options allow.
  FrameSize decode(const std::string& bytes, const std::string& path);
  // Writes that picture scaled to `size`, or as it is seen through `view`.
  void write(FrameSize size, uint8_t* rgb);
  void write(const FrameView& view, uint8_t* rgb);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace engine
