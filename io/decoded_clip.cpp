#include "io/decoded_clip.h"

#include <filesystem>

#include "io/picture.h"
#include "io/safetensors.h"
#include "io/stages.h"
#include "io/text.h"

namespace engine {

bool is_decoded_clip_name(const std::string& name) { return name.ends_with(".frames"); }

DecodedClip::DecodedClip(const std::string& path) : path_(path) {
  const StageTimer timer(Stage::read);
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
  FrameView view = whole_view(wanted);
  view.rgb_first = true;  // nothing is smoothed
  view_frames(indices, view, rgb);
}

void DecodedClip::view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) {
  check_room(path_, indices.size(), view.size, rgb);
  PictureViewer viewer;
  uint8_t* to = rgb.data();
  for (const int64_t index : indices) {
    ENGINE_CHECK(index >= 0 && index < frame_count(), escaped(path_), ": frame ", index, " asked for, but there are ",
                 frame_count());
    const uint8_t* const from = frames_.values<uint8_t>().data() + static_cast<size_t>(index) * size().bytes();
    viewer.see(packed_rgb(from, size(), frames_.size(2) * 3), view, to);
    to += view.size.bytes();
  }
}

void write_decoded_clip(const std::string& path, const Tensor& frames) {
  ENGINE_CHECK(frames.dtype() == DType::u8 && frames.rank() == 4 && frames.elements() > 0 && frames.size(3) == 3,
               "write_decoded_clip: expected frames (T,H,W,3) u8, got ", frames.shape(), " ", frames.dtype());
  write_safetensors(path, {{}, {{"frames", frames}}});
}

}  // namespace engine
