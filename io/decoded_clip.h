// Clips that are stored decoded, for machines without FFmpeg and for training that must not wait for a decoder: a
// safetensors file named *.frames with one tensor, `frames` (T, H, W, 3) U8, RGB.
#pragma once

#include "io/frame_source.h"

namespace engine {

// True for names that end in .frames.
bool is_decoded_clip_name(const std::string& name);

class DecodedClip final : public FrameSource {
 public:
  // Reads the whole file. Throws kNoInput when it is missing or unreadable, kData when it is damaged or something else.
  explicit DecodedClip(const std::string& path);

  int64_t frame_count() const override { return frames_.size(0); }
  FrameSize size() const override;
  // Another size than the clip's own is interpolated bilinearly between the centres of pixels.
  void read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) override;
  void view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) override;

 private:
  std::string path_;
  Tensor frames_;
};

// The file is there whole or not at all. Throws kStorage when writing fails.
void write_decoded_clip(const std::string& path, const Tensor& frames);

}  // namespace engine
