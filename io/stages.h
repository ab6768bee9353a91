// Where the time of threads that read clips goes. What does a part of the work marks it with a StageTimer; whoever
// wants to know takes the difference of two stage_seconds().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace engine {

enum class Stage : uint8_t {
  open,     // the file, what the index says of it, the codec; and all of a clip that is none of the others
  read,     // bytes from the file, with or without a demuxer
  decode,   // packets to pictures
  convert,  // pictures to the frames of the batch
};
inline constexpr size_t kStages = 4;
inline constexpr std::array<const char*, kStages> kStageNames = {"opening", "reading", "decoding", "converting"};

// Seconds by Stage.
using StageSeconds = std::array<double, kStages>;

// Of the calling thread, since it began.
StageSeconds stage_seconds();

// As long as it lives, the time of its thread counts as that of `stage`. One inside another interrupts it, so that no
// time counts twice.
class StageTimer {
 public:
  explicit StageTimer(Stage stage);
  ~StageTimer();
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  size_t before_;
};

}  // namespace engine
