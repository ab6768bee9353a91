// What every op of some steps took, computed and moved: behind --profile.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "engine/autograd.h"
#include "engine/device_clock.h"
#include "io/loader.h"

namespace engine {

// The pass of a program that waits for clips to be read.
inline constexpr const char* kWaitForClips = "wait for clips";

// read(), which profilers see as that.
template <class Read>
auto waiting_for_clips(const Read& read) {
  const ProfiledPass waiting({.op = kWaitForClips, .backward = false, .sequence = 0, .shape = {}});
  return read();
}
inline bool next_clips(Loader& clips, Batch& batch) {
  return waiting_for_clips([&] { return clips.next(batch); });
}

// One pass of one op. Times are seconds from the begin of the profile.
struct SeenPass {
  OpPass pass;                          // flop: of this pass, the backward pass's own
  double bytes = 0;                     // that it moves at least
  double begin = 0, end = 0;            // on the device
  double host_begin = 0, host_end = 0;  // on the host, which queues it; on the CPU the same
  int64_t inside = -1;                  // the number of the pass that it is a part of; -1: of none
};

struct StepProfile {
  Device device;
  int64_t steps = 0;
  double seconds = 0;             // of all of them, with what is between the ops
  double unprofiled_seconds = 0;  // of one step before the profile; 0 where there was none
  std::vector<SeenPass> passes;   // in the order of their begin
  std::vector<double> step_ends;
};

// Sees what this thread does, in the place of another profiler, which comes back behind it and is told, too.
class PassRecorder : public Profiler {
 public:
  explicit PassRecorder(DeviceClock& clock);
  ~PassRecorder() override;
  PassRecorder(const PassRecorder&) = delete;
  PassRecorder& operator=(const PassRecorder&) = delete;

  void begin(const OpPass& pass) override;
  void end() override;
  void operands(const char* op, std::span<const int64_t> from, std::span<const int64_t> to) override;

  // What was seen; waits for the device. `origin`: the clock's mark that times count from.
  std::vector<SeenPass> passes(size_t origin) const;

 private:
  struct Raw {
    SeenPass seen;
    size_t begin = 0, end = 0;  // marks
    std::vector<int64_t> from, to;
  };
  double host_seconds() const;

  DeviceClock& clock_;
  Profiler* others_;
  std::vector<Raw> raw_;
  std::vector<size_t> open_;  // numbers of the passes that have not ended
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Profiles `steps` steps after a warm-up. While it is there, steps are not recorded (engine/recording.h).
class ProfileWindow {
 public:
  static constexpr int64_t kWarmUp = 5;

  ProfileWindow(Device device, int64_t steps);
  ~ProfileWindow();
  ProfileWindow(const ProfileWindow&) = delete;
  ProfileWindow& operator=(const ProfileWindow&) = delete;

  // To be called after every step, the first of them included.
  void step();
  bool done() const { return made_ >= kWarmUp + steps_; }
  // Of the steps that were made, at most `steps`; without steps where there were only those of the warm-up.
  const StepProfile& result();

 private:
  void finish();

  int64_t steps_, made_ = 0;
  StepProfile profile_;
  std::unique_ptr<DeviceClock> clock_;
  std::vector<size_t> ends_;  // marks at the end of every step
  std::optional<PassRecorder> recorder_;
};

}  // namespace engine
