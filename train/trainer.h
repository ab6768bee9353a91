// The training of a network: one step, and the epochs around it.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "engine/recording.h"
#include "io/loader.h"
#include "train/average.h"
#include "train/classifier.h"
#include "train/head.h"
#include "train/metrics.h"
#include "train/mixing.h"
#include "train/optimizer.h"
#include "train/progress.h"
#include "train/schedule.h"

namespace engine {

struct TrainerOptions {
  OptimizerOptions optimizer;
  Schedule schedule;
  Objective objective;
  uint64_t seed = 0;               // of dropout and of mixtures
  const Dataset* clips = nullptr;  // to name clips in errors
  Device device = kCpu;
  DType compute = DType::f32;  // or bf16, with f32 masters of the parameters
  // Where the device can: the step is recorded after two warm-up steps and then replayed. The same bits, less time.
  bool record = true;
  ParameterArena::NamePredicate is_frozen;  // which parameters are not trained; may be empty
  int64_t accumulate = 1;                   // batches of a step at most; their gradients add up before the update
  double ema = 0;                           // decay of train/average.h; 0: no average
  MixingOptions mixing;
  bool recompute = false;    // VideoModel::set_recompute() (layers/models/video_model.h)
  int64_t most_skipped = 3;  // steps in a row whose gradients may be not finite
};

struct StepResult {
  double loss = 0;       // the objective, mean over the clips of the step, before the update
  bool skipped = false;  // a gradient was not finite; nothing was changed
  int64_t step = 0;      // from 1
  double learning_rate = 0;
  int64_t batches = 0, clips = 0;
};

// A step of a fit.
struct StepReport {
  int64_t epoch = 0;  // from 1
  StepResult result;
};

// All that later steps depend on, beside the network and the options.
struct TrainerState {
  std::vector<NamedTensor> moments;  // Optimizer::moments(), and "average.<name>" of parameters and buffers
  int64_t steps = 0, skipped = 0, skipped_in_a_row = 0;
};

class Trainer {
 public:
  // The classifier must outlive the trainer; it moves to options.device, its parameters into the trainer's arena.
  Trainer(Classifier& classifier, TrainerOptions options);

  // Makes one step, or with `later_clips`, the clips that the step's other batches are still to bring, a part of one:
  // the gradient of a step is that of the mean over all its clips, and with the last batch comes the update. Does not
  // wait for the device; at most most_pending() batches before the next results().
  void queue(const Batch& batch, int64_t later_clips = 0);
  int64_t most_pending() const;
  int64_t pending() const { return static_cast<int64_t>(pending_.size()); }
  // Of the steps completed since the last call, in order; waits for them. Throws Error (kNotFinite), naming the step,
  // the clips of its last batch and where numbers went wrong, when the gradients of more than options.most_skipped
  // steps in a row are not finite.
  std::vector<StepResult> results();
  // One step with its result.
  StepResult step(const Batch& batch);

  int64_t steps() const { return steps_; }  // made so far, skipped ones included
  int64_t skipped_steps() const { return skipped_; }
  // Of the next step.
  double learning_rate() const { return rate_factor_ * engine::learning_rate(options_.schedule, steps_); }
  // What the schedule's rates are multiplied by from now on.
  void set_rate_factor(double factor) { rate_factor_ = factor; }
  // Whether every parameter and buffer is finite.
  bool finite() const;
  const TrainerOptions& options() const { return options_; }
  Classifier& classifier() { return classifier_; }
  // The classifier's, with the f32 masters of its parameters.
  ModelFile file() const;
  // What is judged and kept: file(), with averages in the place of what they are of. Views, as in state().
  ModelFile model() const;
  // Calls f while the classifier has the weights of model().
  void with_model(const std::function<void()>& f);
  // With no step pending or begun. Its tensors are views of memory that the next step changes.
  TrainerState state() const;
  // Goes on from what file() and state() of a trainer with the same options were: the steps that follow give the same
  // bytes. Throws as load_into() when tensors are others than this trainer's.
  void restore(const std::vector<NamedTensor>& tensors, const TrainerState& state, const std::string& where);

 private:
  // Forward and backward, with the update where a step is one batch; gives the loss, in the device's memory.
  Tensor compute(const Tensor& frames, const Tensor& targets);
  Tensor compute_on_device(const Tensor& frames, const Tensor& targets);
  void update();
  std::vector<NamedTensor> memories() const;  // TrainerState::moments

  Classifier& classifier_;
  TrainerOptions options_;
  ParameterArena arena_;
  Optimizer optimizer_;
  std::optional<WeightAverage> average_;
  int64_t steps_ = 0, skipped_ = 0, skipped_in_a_row_ = 0;
  double rate_factor_ = 1;

  struct Queued {
    std::vector<int64_t> items;
    int64_t step;
    double learning_rate;
    double share;  // of the step's clips
    bool last;     // of the step
  };
  [[noreturn]] void diverged(const Queued& step, double loss) const;
  std::vector<Queued> pending_;
  int64_t batches_begun_ = 0, clips_of_step_ = 0;  // of the step that is being queued
  StepResult result_;                              // of the step whose batches are being collected
  Tensor draws_, share_;                           // one element each, on the device: i64, and f32 ()
  Tensor frames_seen_;                             // of the last batch queued
  Tensor losses_, skips_;                          // (most_pending) f32 each, on the device
  std::optional<Uploader> frames_, targets_;       // the inputs of a recorded step
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
  int64_t patience = 0;   // ends after so many epochs in a row that are not the best; 0: never
  ProgressMode progress = ProgressMode::none;
};

// How far a fit is, and what it can be continued from.
struct FitState {
  std::vector<EpochReport> epochs{};  // finished
  int64_t best_epoch = 0;             // 0: no epoch was finished
  // Of the epoch that is not finished: batches trained on, and of their clips
  int64_t batches = 0;
  double loss_sum = 0;            // of those learned
  int64_t learned = 0, seen = 0;  // learned: those of the steps that were not skipped
};

struct FitResult : FitState {
  bool stopped = false;  // because `proceed` said so
};

struct FitHooks {
  std::function<void(const Batch&)> before_batch{};     // with the batch that is queued next
  std::function<void(const StepReport&)> after_step{};  // when its result is known, every step in its order
  std::function<bool()> proceed;                        // asked after every step; false ends the fit
  std::function<void(const EpochReport&)> after_epoch;  // to save and to report
  std::function<bool()> save_due;                       // asked after every step
  // With no step pending: when save_due() said so, after every epoch, and where max_steps ends one.
  std::function<void(const FitState&)> save;
};

// Whether a fit of this patience is over.
bool out_of_patience(int64_t patience, const FitState& state);

// Trains for some epochs and validates after each. `validation` may be null: then the best epoch is the one with the
// lowest training loss. Steps are of options().accumulate batches; the last of an epoch, of those that are left. A
// schedule of kind plateau goes by the validation losses, without validation by those of training. With max_steps the
// last epoch may be shorter. `from`: what an earlier fit saved; with a
// restored trainer the same bytes come out as if that fit had gone on.
FitResult fit(Trainer& trainer, Loader& training, Loader* validation, const FitOptions& options,
              const FitHooks& hooks = {}, const FitState& from = {});

}  // namespace engine
