#include "train/trainer.h"

#include <cmath>
#include <utility>

#include "engine/ops.h"
#include "engine/random.h"
#include "train/evaluate.h"

namespace engine {
namespace {

constexpr int64_t kMostSkippedInARow = 3;
constexpr int64_t kPendingOnDevice = 16;  // so that reading the losses seldom waits
constexpr int64_t kWarmUpSteps = 2;

std::string clip_names(const std::vector<int64_t>& items, const Dataset* clips) {
  constexpr size_t kMost = 3;
  std::string text;
  for (size_t i = 0; i < items.size() && i < kMost; ++i) {
    const int64_t item = items[i];
    text += i > 0 ? ", " : "";
    text += clips != nullptr ? clips->samples[static_cast<size_t>(item)].name : std::to_string(item);
  }
  return items.size() > kMost ? text + ", ..." : text;
}

bool all_finite(const Tensor& arena) {
  if (!arena) return true;
  const Tensor sum = Tensor::zeros({1}, arena.dtype(), arena.device());
  sum_of_squares(arena, sum);
  return std::isfinite(sum.item());
}

// For the arena: where the network computes in bf16, which parameters do not.
ParameterArena::NamePredicate stays_f32(const layers::Module& network, DType compute) {
  if (compute != DType::bf16) return {};
  return [names = network.full_precision()](const std::string& name) { return names.contains(name); };
}

bool better(const EpochReport& report, const EpochReport& best) {
  if (report.validation.samples == 0) return report.train_loss < best.train_loss;
  // A score that is not a number is worse than any other.
  const auto score_of = [](const Evaluation& e) { return std::isnan(e.score()) ? -INFINITY : e.score(); };
  const double score = score_of(report.validation), best_score = score_of(best.validation);
  return score > best_score || (score == best_score && report.validation.loss < best.validation.loss);
}

}  // namespace

Trainer::Trainer(Classifier& classifier, TrainerOptions options)
    : classifier_((classifier.network().to(options.device), classifier)),
      options_(std::move(options)),
      arena_(classifier.network().parameters(), classifier.network().buffers(), options_.is_frozen,
             stays_f32(classifier.network(), options_.compute)),
      optimizer_(arena_, options_.optimizer),
      losses_(Tensor::zeros({most_pending()}, DType::f32, options_.device)),
      skips_(Tensor::zeros_like(losses_)) {
  classifier_.set_compute(options_.compute);
  Tensor& weights = options_.objective.weights;
  if (weights) weights = weights.to(options_.device);
  StepRandom::current().set_seed(options_.seed);
}

int64_t Trainer::most_pending() const { return options_.device == kCpu ? 1 : kPendingOnDevice; }

Tensor Trainer::compute(const Tensor& frames, const Tensor& targets) {
  StepRandom::current().begin_step(optimizer_.scalars().step);
  arena_.zero_grad();
  const Tensor logits = classifier_.logits(frames);
  const Tensor loss = objective(classifier_.description().head, logits, targets, options_.objective);
  loss.backward();
  optimizer_.update();
  return loss.detach();
}

Tensor Trainer::compute_on_device(const Tensor& frames, const Tensor& targets) {
  if (!frames_) {
    frames_.emplace(Tensor::empty(frames.shape(), frames.dtype(), options_.device));
    targets_.emplace(Tensor::empty(targets.shape(), targets.dtype(), options_.device));
  }
  if (frames.shape() != frames_->target().shape())  // the last batch of an epoch may be smaller
    return compute(frames.to(options_.device), targets.to(options_.device));
  (*frames_)(frames);
  (*targets_)(targets);
  if (!options_.record || !can_record(options_.device) || warm_up_steps_ < kWarmUpSteps) {
    ++warm_up_steps_;
    return compute(frames_->target(), targets_->target());
  }
  if (!recording_)
    recording_ =
        record_work(options_.device, [this] { recorded_loss_ = compute(frames_->target(), targets_->target()); });
  recording_->replay();
  return recorded_loss_;
}

void Trainer::queue(const Batch& batch) {
  const int64_t place = pending();
  ENGINE_CHECK(place < most_pending(), "Trainer::queue: ", place, " steps are queued; call results() first");
  optimizer_.begin_step(steps_ + 1, learning_rate());
  classifier_.network().train();
  const Tensor targets = training_targets(classifier_.description(), batch.labels);
  const Tensor loss =
      options_.device == kCpu ? compute(batch.frames, targets) : compute_on_device(batch.frames, targets);
  losses_.slice(place, place + 1).copy_from(loss.reshape({1}));
  skips_.slice(place, place + 1).copy_from(optimizer_.scalars().skip);
  pending_.push_back(batch.items);
  ++steps_;
}

std::vector<StepResult> Trainer::results() {
  const Tensor losses = losses_.to(kCpu), skips = skips_.to(kCpu);
  const auto pending = std::exchange(pending_, {});
  std::vector<StepResult> results;
  for (size_t i = 0; i < pending.size(); ++i) {
    const StepResult result{.loss = losses.values<float>()[i], .skipped = skips.values<float>()[i] != 0};
    skipped_ += result.skipped ? 1 : 0;
    skipped_in_a_row_ = result.skipped ? skipped_in_a_row_ + 1 : 0;
    if (skipped_in_a_row_ > kMostSkippedInARow)
      throw Error(
          concat("training diverged at step ", steps_ - static_cast<int64_t>(pending.size() - 1 - i), " (clips ",
                 clip_names(pending[i], options_.clips), "): the loss is ", result.loss, " and the gradients of ",
                 skipped_in_a_row_, " steps in a row are not finite; try a smaller --lr or --clip-norm"),
          exit_code::kNotFinite);
    results.push_back(result);
  }
  return results;
}

StepResult Trainer::step(const Batch& batch) {
  queue(batch);
  return results().back();
}

ModelFile Trainer::file() const {
  ModelFile file = classifier_.file();
  for (NamedTensor& each : file.tensors) each.tensor = arena_.master(each.tensor);
  return file;
}

TrainerState Trainer::state() const {
  ENGINE_CHECK(pending() == 0, "Trainer::state: ", pending(), " steps are queued; call results() first");
  return {optimizer_.moments(), steps_, skipped_, skipped_in_a_row_};
}

void Trainer::restore(const std::vector<NamedTensor>& tensors, const TrainerState& state, const std::string& where) {
  ENGINE_CHECK(pending() == 0, "Trainer::restore: ", pending(), " steps are queued; call results() first");
  load_into(file().tensors, tensors, where);
  load_into(optimizer_.moments(), state.moments, where);
  for (const ParameterArena::Group& group : arena_.groups())
    if (group.copies) group.copies.copy_from(group.values);
  steps_ = state.steps;
  skipped_ = state.skipped;
  skipped_in_a_row_ = state.skipped_in_a_row;
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
      trainer_.queue(batch);
      counts_.push_back(batch.labels.size(0));
      if (trainer_.pending() == trainer_.most_pending()) collect();
      if (proceed && !proceed()) return collect(), false;
    }
    collect();
    return true;
  }

  bool at_limit() const { return options_.max_steps > 0 && trainer_.steps() >= options_.max_steps; }
  double mean_loss() const { return learned_ > 0 ? loss_sum_ / static_cast<double>(learned_) : NAN; }
  int64_t seen() const { return seen_; }

 private:
  // Takes in the results of the steps that are queued.
  void collect() {
    const std::vector<StepResult> results = trainer_.results();
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].skipped) {
        loss_sum_ += results[i].loss * static_cast<double>(counts_[i]);
        learned_ += counts_[i];
      }
      seen_ += counts_[i];
      progress_.update(++steps_, seen_, mean_loss());
    }
    counts_.clear();
  }

  Trainer& trainer_;
  Loader& clips_;
  const FitOptions& options_;
  Progress& progress_;
  double loss_sum_ = 0;
  int64_t learned_ = 0, seen_ = 0, steps_ = 0;
  std::vector<int64_t> counts_;  // clips of each queued step
};

}  // namespace

FitResult fit(Trainer& trainer, Loader& training, Loader* validation, const FitOptions& options,
              const FitHooks& hooks) {
  FitResult result;
  Progress progress(options.progress);
  const Evaluation nothing = make_metrics(trainer.classifier().description())->result();
  for (int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    training.start_epoch(epoch - 1);
    progress.start(concat("Epoch ", epoch, "/", options.epochs), training.size());
    Epoch pass(trainer, training, options, progress);
    if (!pass.run(hooks.proceed)) return result.stopped = true, result;
    EpochReport report{.epoch = epoch, .train_loss = pass.mean_loss(), .validation = nothing};
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
