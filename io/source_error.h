// Why a source of frames cannot be used: a sentence for people, as every Error has, and the reason for programs.
#pragma once

#include <cstdint>

#include "engine/tensor.h"

namespace engine {

// The numbers are stored in indexes of videos.
enum class SourceFault : uint32_t {
  missing,
  unreadable,  // no permission, a folder, a pipe, or the storage fails
  empty,
  not_a_video,  // text, an image, a playlist
  no_pictures,  // sound and covers alone
  cut_off,
  damaged,
  encrypted,
  too_large,    // over the limits of SourceOptions
  unsupported,  // a codec without a decoder here
  changed,      // written to while it was in use, or since it was indexed
  slow,         // no progress within SourceOptions::timeout_seconds
};
constexpr SourceFault kLastSourceFault = SourceFault::slow;

class SourceError : public Error {
 public:
  // The code is kNoInput for what is missing or unreadable, else kData.
  SourceError(SourceFault fault, const std::string& message)
      : Error(message, fault <= SourceFault::unreadable ? exit_code::kNoInput : exit_code::kData), fault_(fault) {}
  SourceFault fault() const { return fault_; }

 private:
  SourceFault fault_;
};

}  // namespace engine
