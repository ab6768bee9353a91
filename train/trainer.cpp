#include "train/trainer.h"

#include <cmath>

#include "engine/ops.h"
#include "engine/random.h"
#include "train/evaluate.h"

namespace engine {
namespace {

constexpr int64_t kMostSkippedInARow = 3;

std::string clip_names(const Batch& batch, const Dataset* clips) {
  constexpr size_t kMost = 3;
  std::string text;
  for (size_t i = 0; i < batch.items.size() && i < kMost; ++i) {
    const int64_t item = batch.items[i];
    text += i > 0 ? ", " : "";
    text += clips != nullptr ? clips->samples[static_cast<size_t>(item)].name : std::to_string(item);
  }
  return batch.items.size() > kMost ? text + ", ..." : text;
}

bool all_finite(const Tensor& arena) {
  if (!arena) return true;
  const Tensor sum = Tensor::zeros({1}, arena.dtype(), arena.device());
  sum_of_squares(arena, sum);
  return std::isfinite(sum.item());
}

bool better(const EpochReport& report, const EpochReport& best) {
  if (report.validation.samples() == 0) return report.train_loss < best.train_loss;
  const double accuracy = report.validation.accuracy(), best_accuracy = best.validation.accuracy();
  return accuracy > best_accuracy || (accuracy == best_accuracy && report.validation.loss() < best.validation.loss());
}

}  // namespace

Trainer::Trainer(Classifier& classifier, TrainerOptions options)
    : classifier_(classifier),
      options_(std::move(options)),
      arena_(classifier.network().parameters(), classifier.network().buffers()),
      optimizer_(arena_, options_.optimizer) {
  StepRandom::current().set_seed(options_.seed);
}

StepResult Trainer::step(const Batch& batch) {
  optimizer_.begin_step(steps_ + 1, learning_rate());
  StepRandom::current().begin_step(optimizer_.scalars().step);
  classifier_.network().train();
  arena_.zero_grad();
  const Tensor logits = classifier_.logits(batch.frames);
  const CrossEntropy objective{.label_smoothing = options_.label_smoothing};
  const Tensor loss = cross_entropy(logits, batch.labels, objective, options_.class_weights);
  loss.backward();
  optimizer_.update();
  ++steps_;
  const StepResult result{.loss = loss.item(), .skipped = optimizer_.skipped()};
  skipped_ += result.skipped ? 1 : 0;
  skipped_in_a_row_ = result.skipped ? skipped_in_a_row_ + 1 : 0;
  if (skipped_in_a_row_ > kMostSkippedInARow)
    throw Error(concat("training diverged at step ", steps_, " (clips ", clip_names(batch, options_.clips),
                       "): the loss is ", result.loss, " and the gradients of ", skipped_in_a_row_,
                       " steps in a row are not finite; try a smaller --lr or --clip-norm"),
                exit_code::kNotFinite);
  return result;
}

bool Trainer::finite() const { return all_finite(arena_.values()) && all_finite(arena_.buffers()); }

namespace {

// One pass over the training clips, or as much of it as max_steps and `proceed` allow.
class Epoch {
 public:
  Epoch(Trainer& trainer, Loader& clips, const FitOptions& options, Progress& progress)
      : trainer_(trainer), clips_(clips), options_(options), progress_(progress) {}

  // False when `proceed` ended it.
  bool run(const std::function<bool()>& proceed) {
    Batch batch;
    while (!at_limit() && clips_.next(batch)) {
      const StepResult result = trainer_.step(batch);
      const int64_t count = batch.labels.size(0);
      if (!result.skipped) {
        loss_sum_ += result.loss * static_cast<double>(count);
        learned_ += count;
      }
      seen_ += count;
      progress_.update(++steps_, seen_, mean_loss());
      if (proceed && !proceed()) return false;
    }
    return true;
  }

  bool at_limit() const { return options_.max_steps > 0 && trainer_.steps() >= options_.max_steps; }
  double mean_loss() const { return learned_ > 0 ? loss_sum_ / static_cast<double>(learned_) : NAN; }
  int64_t seen() const { return seen_; }

 private:
  Trainer& trainer_;
  Loader& clips_;
  const FitOptions& options_;
  Progress& progress_;
  double loss_sum_ = 0;
  int64_t learned_ = 0, seen_ = 0, steps_ = 0;
};

}  // namespace

FitResult fit(Trainer& trainer, Loader& training, Loader* validation, const FitOptions& options,
              const FitHooks& hooks) {
  FitResult result;
  Progress progress(options.progress);
  const int64_t classes = static_cast<int64_t>(trainer.classifier().classes().size());
  for (int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    training.start_epoch(epoch - 1);
    progress.start(concat("Epoch ", epoch, "/", options.epochs), training.size());
    Epoch pass(trainer, training, options, progress);
    if (!pass.run(hooks.proceed)) return result.stopped = true, result;
    EpochReport report{.epoch = epoch, .train_loss = pass.mean_loss(), .validation = Metrics(classes)};
    report.clips_per_second = static_cast<double>(pass.seen()) / progress.seconds();
    if (validation != nullptr) report.validation = evaluate(trainer.classifier(), *validation, hooks.proceed);
    if (hooks.proceed && !hooks.proceed()) return result.stopped = true, result;
    report.seconds = progress.seconds();
    progress.finish();
    report.best = result.best_epoch == 0 || better(report, result.epochs[static_cast<size_t>(result.best_epoch - 1)]);
    if (report.best) result.best_epoch = epoch;
    result.epochs.push_back(report);
    if (hooks.after_epoch) hooks.after_epoch(report);
    if (pass.at_limit()) break;
  }
  return result;
}

}  // namespace engine
