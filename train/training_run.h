#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/loader.h"
#include "train/memory_plan.h"
#include "train/report.h"
#include "train/resume.h"
#include "train/run_folder.h"
#include "train/run_log.h"
#include "train/trainer.h"

namespace engine {

// Where a run computes and in what: "cpu, f32", "cpu (no CUDA: ...), f32" where a device was looked for, "cuda:0,
// bf16".
std::string place(const TrainOptions& options, Device device);

// One training in one folder: its epochs with their validation, what is saved of them, the log, and the test of the
// best model at the end.
class TrainingRun {
 public:
  // `data`: fingerprint() of the clips as they were found. `from`: the checkpoint to go on from; null for a new run.
  // What is given by reference is kept.
  TrainingRun(const TrainOptions& options, const Splits& splits, const LoaderOptions& training, Classifier& classifier,
              const RunFolder& folder, const std::string& data, const FoundCheckpoint* from);

  // Trains to the end or until a signal or --max-time stops it; `config`: the settings as TOML. Returns an exit code:
  // kOk, or that of the signal that ended the run after saving. Throws Error.
  int run(const std::string& config);

 private:
  int work(const std::string& config);
  int profile();
  void start_log();
  void warn(const std::string& text);
  TrainerOptions trainer_options() const;
  int64_t schedule_steps() const;
  int64_t steps_per_epoch() const {
    return (training_.size() + options_.recipe.accumulate - 1) / options_.recipe.accumulate;
  }
  FitState resume();
  LoaderOptions evaluation_options(const Classifier& classifier, const Views& views = {}) const;
  bool out_of_time() const;
  void check_finite() const;
  void save_checkpoint(const FitState& state);
  void after_epoch(const EpochReport& report);
  void write_epoch(int64_t epoch);
  void warn_about_data(const EpochReport& report);
  ModelFile model(int64_t epoch) const;
  void save_plans() const;
  int save_and_stop(const FitResult& result);
  int test(int64_t best_epoch);
  void judge_validation();

  const TrainOptions& options_;
  const Splits& splits_;
  Classifier& classifier_;
  const RunFolder& folder_;
  std::string data_;
  const FoundCheckpoint* from_;
  std::shared_ptr<const VideoIndex> index_;
  Loader training_;
  std::optional<Loader> validation_;
  MemoryPlan plan_;
  Trainer trainer_;
  std::optional<RunCheckpoints> checkpoints_;
  std::optional<RunLog> log_;
  std::vector<EpochReport> reports_;
  ReplacedClips replaced_;
  double best_score_ = 0;
  std::optional<ModelFile> unsaved_best_;
  SaveAttempts saving_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace engine
