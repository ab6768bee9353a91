// Saving a run so that it can be continued, and continuing it.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "train/checkpoints.h"
#include "train/options.h"

namespace engine {

// What the newest checkpoint in `folder` was trained with, as TOML. Throws Error (kNoInput) when the folder holds none.
std::string settings_of_run(const std::string& folder);

// The newest checkpoint in options.resume; what was damaged is told on stderr. Throws Error: kNoInput when there is
// none; unless options.force, kUsage when a setting in `table` that results depend on is another one, and kData when
// the clips are others, by `data`, their fingerprint().
FoundCheckpoint checkpoint_to_resume(const TrainOptions& options, const OptionTable& table, const std::string& data);

// Storage that fails now and then: what is not saved is told, and saved the next time.
class SaveAttempts {
 public:
  // Calls `save`. Its Error (kStorage) becomes a warning on stderr that `what` was not saved, but for the third in a
  // row, which is thrown.
  void attempt(const std::string& what, const std::function<void()>& save);
  bool failed() const { return failures_ > 0; }  // the last one

 private:
  int64_t failures_ = 0;
};

// The checkpoints of a run that is under way.
class RunCheckpoints {
 public:
  // `start`: what all of its checkpoints say of the run: config, data and schedule_steps.
  RunCheckpoints(const TrainOptions& options, std::string folder, const Trainer& trainer, RunState start);

  // By the steps made and the time gone since the last one.
  bool due() const;
  // Starts to save, with no step pending; what became of the one before is told by SaveAttempts.
  void save(const FitState& fit);
  // Waits for the last one. Throws its Error (kStorage).
  void finish() { writer_.finish(); }

 private:
  using Clock = std::chrono::steady_clock;

  const TrainOptions& options_;
  const Trainer& trainer_;
  RunState state_;
  CheckpointWriter writer_;
  SaveAttempts saving_;
  int64_t saved_step_ = 0;
  Clock::time_point saved_ = Clock::now();
};

}  // namespace engine
