// Internal to io/: which pictures of a stream no other picture refers to, by what the stream itself says.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

struct AVCodecParameters;

namespace engine::av {

class UnreferencedPictures {
 public:
  // `container`: FFmpeg's name. Only of H.264 and HEVC in containers that hold whole pictures, their units behind
  // lengths, anything is found.
  UnreferencedPictures(const AVCodecParameters& parameters, std::string_view container);
  // The next packet of the stream.
  void add(std::span<const uint8_t> packet);
  // For every packet whether it may be left out: it holds nothing but one picture that no other refers to. H.264: all
  // its slices have nal_ref_idc 0 (ITU-T H.264, 7.4.1). HEVC: they are of a sub-layer non-reference type (ITU-T H.265,
  // table 7-1), which no picture of the same sub-layer refers to, and there is no higher sub-layer.
  std::vector<bool> found() const;

 private:
  enum class Codec { other, h264, hevc };
  Codec codec_ = Codec::other;
  int length_bytes_ = 0;
  int highest_layer_ = 0;
  std::vector<int8_t> layers_;  // of each packet that may be left out where no higher one exists; -1: may not
};

}  // namespace engine::av
