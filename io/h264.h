// Internal to io/: the little that must be known of an H.264 stream beside what its container says.
#pragma once

#include <cstdint>
#include <span>

struct AVCodecParameters;

namespace engine::av {

// Where decoding may start so that nothing is missing.
class H264Entries {
 public:
  explicit H264Entries(const AVCodecParameters& parameters);
  // `packet`: a key packet; `first`: of the whole stream. Containers also flag points of gradual refresh, from which a
  // decoder gets whole pictures only some time later; an entry begins with an intra picture.
  bool is_entry(std::span<const uint8_t> packet, bool first);

 private:
  int length_bytes_ = 0;  // in front of every unit; 0: units are separated by start codes
  bool is_444_ = false;
  bool only_first_ = false;
};

}  // namespace engine::av
