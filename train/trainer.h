// The training of a network: one step, and the epochs around it.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "engine/recording.h"
#include "io/loader.h"
#include "train/classifier.h"
#include "train/head.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "train/progress.h"
#include "train/schedule.h"

namespace engine {

struct TrainerOptions {
  OptimizerOptions optimizer;
  Schedule schedule;
  Objective objective;
  uint64_t seed = 0;               // of dropout
  const Dataset* clips = nullptr;  // to name clips in errors
  Device device = kCpu;
  DType compute = DType::f32;  // or bf16, with f32 masters of the parameters
  // Where the device can: the step is recorded after two warm-up steps and then replayed. The same bits, less time.
  bool record = true;
  ParameterArena::NamePredicate is_frozen;  // which parameters are not trained; may be empty
};

struct StepResult {
  double loss = 0;       // the objective, mean over the clips of the batch, before the update
  bool skipped = false;  // a gradient was not finite; nothing was changed
};

// All that later steps depend on, beside the network and the options.
struct TrainerState {
  std::vector<NamedTensor> moments;  // Optimizer::moments()
  int64_t steps = 0, skipped = 0, skipped_in_a_row = 0;
};

class Trainer {
 public:
  // The classifier must outlive the trainer; it moves to options.device, its parameters into the trainer's arena.
  Trainer(Classifier& classifier, TrainerOptions options);

  // Makes one step, without waiting for the device; at most most_pending() steps before the next results().
  void queue(const Batch& batch);
  int64_t most_pending() const;
  int64_t pending() const { return static_cast<int64_t>(pending_.size()); }
  // Of the steps queued since the last call, in order; waits for them. Throws Error (kNotFinite), naming the step and
  // its clips, when the gradients of several steps in a row are not finite.
  std::vector<StepResult> results();
  // One step with its result.
  StepResult step(const Batch& batch);

  int64_t steps() const { return steps_; }  // made so far, skipped ones included
  int64_t skipped_steps() const { return skipped_; }
  double learning_rate() const { return engine::learning_rate(options_.schedule, steps_); }  // of the next step
  // Whether every parameter and buffer is finite.
  bool finite() const;
  Classifier& classifier() { return classifier_; }
  // The classifier's, with the f32 masters of its parameters.
  ModelFile file() const;
  // With no step pending. Its tensors are views of memory that the next step changes.
  TrainerState state() const;
  // Goes on from what file() and state() of a trainer with the same options were: the steps that follow give the same
  // bytes. Throws as load_into() when tensors are others than this trainer's.
  void restore(const std::vector<NamedTensor>& tensors, const TrainerState& state, const std::string& where);

 private:
  // Forward, backward, update; gives the loss, in the device's memory.
  Tensor compute(const Tensor& frames, const Tensor& targets);
  Tensor compute_on_device(const Tensor& frames, const Tensor& targets);

  Classifier& classifier_;
  TrainerOptions options_;
  ParameterArena arena_;
  Optimizer optimizer_;
  int64_t steps_ = 0, skipped_ = 0, skipped_in_a_row_ = 0;

  std::vector<std::vector<int64_t>> pending_;  // the clips of each queued step
  Tensor losses_, skips_;                      // (most_pending) f32 each, on the device
  std::optional<Uploader> frames_, targets_;   // the inputs of a recorded step
  int64_t warm_up_steps_ = 0;
  std::unique_ptr<Recording> recording_;
  Tensor recorded_loss_;
};

struct EpochReport {
  int64_t epoch = 0;            // from 1
  double train_loss = 0;        // mean over the clips trained on
  double seconds = 0;           // training and validation
  double clips_per_second = 0;  // training only
  Evaluation validation;        // without samples where there is nothing to validate on
  bool best = false;            // the best so far: highest accuracy, R2 or F1, of equal ones the lowest loss
};

struct FitOptions {
  int64_t epochs = 1;
  int64_t max_steps = 0;  // 0: no limit
  ProgressMode progress = ProgressMode::none;
};

struct FitResult {
  std::vector<EpochReport> epochs;
  int64_t best_epoch = 0;  // 0: no epoch was finished
  bool stopped = false;    // because `proceed` said so
};

struct FitHooks {
  std::function<bool()> proceed;                        // asked after every batch; false ends the fit
  std::function<void(const EpochReport&)> after_epoch;  // to save and to report
};

// Trains for some epochs and validates after each. `validation` may be null: then the best epoch is the one with the
// lowest training loss. With max_steps the last epoch may be shorter.
FitResult fit(Trainer& trainer, Loader& training, Loader* validation, const FitOptions& options,
              const FitHooks& hooks = {});

}  // namespace engine
