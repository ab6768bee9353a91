#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <tuple>
#include <utility>

#include "engine/ops.h"
#include "engine/random.h"
#include "train/divergence.h"
#include "train/evaluate.h"
#include "train/step_profile.h"

namespace engine {
namespace {

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
      draws_(Tensor::zeros({1}, DType::i64, options_.device)),
      share_(Tensor::full({}, 1.0, DType::f32, options_.device)),
      losses_(Tensor::zeros({most_pending()}, DType::f32, options_.device)),
      skips_(Tensor::zeros_like(losses_)) {
  if (!classifier_.network().set_recompute(options_.recompute) && options_.recompute)
    throw Error(
        concat("model '", classifier_.description().model, "' has no parts to compute again; leave out --recompute"),
        exit_code::kUsage);
  classifier_.set_compute(options_.compute);
  Tensor& weights = options_.objective.weights;
  if (weights) weights = weights.to(options_.device);
  if (options_.ema > 0) average_.emplace(arena_, options_.ema);
  StepRandom::current().set_seed(options_.seed);
}

int64_t Trainer::most_pending() const { return options_.device == kCpu ? 1 : kPendingOnDevice; }

Tensor Trainer::compute(const Tensor& frames, const Tensor& targets) {
  StepRandom::current().begin_step(draws_);
  const bool whole_step = options_.accumulate == 1;
  if (whole_step) arena_.zero_grad();
  const Tensor logits = classifier_.logits(frames);
  const Tensor loss = objective(classifier_.description().head, logits, targets, options_.objective);
  loss.backward(whole_step ? Tensor() : share_);
  if (whole_step) update();
  return loss.detach();
}

void Trainer::update() {
  optimizer_.update();
  if (average_) average_->update(optimizer_.scalars().skip);
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

void Trainer::queue(const Batch& batch, int64_t later_clips) {
  const int64_t place = pending();
  ENGINE_CHECK(place < most_pending(), "Trainer::queue: ", place, " batches are queued; call results() first");
  ENGINE_CHECK(batches_begun_ + (later_clips > 0 ? 1 : 0) < options_.accumulate,
               "Trainer::queue: more batches than the ", options_.accumulate, " of a step");
  const int64_t clips = batch.frames.size(0);
  const bool first = batches_begun_ == 0, last = later_clips == 0;
  if (first) clips_of_step_ = clips + later_clips;
  const double share = static_cast<double>(clips) / static_cast<double>(clips_of_step_);
  // The draws of a step's batches are as far apart as those of steps, and a function of both numbers.
  const int64_t draws = batches_begun_ << 32 | (steps_ + 1);
  fill(draws_, static_cast<double>(draws));
  optimizer_.begin_step(steps_ + 1, learning_rate());
  if (average_) average_->begin_step(steps_ + 1);
  classifier_.network().train();
  Tensor frames = batch.frames, targets = training_targets(classifier_.description(), batch.labels);
  if (options_.mixing.on()) {
    if (targets.dtype() == DType::i64)
      targets = class_rows(targets, std::ssize(classifier_.classes()), options_.objective.label_smoothing);
    Random random(options_.seed ^ stream_of("mixing"), static_cast<uint64_t>(draws));
    std::tie(frames, targets) = mix(frames, targets, options_.mixing, random);
  }
  if (options_.accumulate > 1) {
    fill(share_, share);
    for (const ParameterArena::Group& group : arena_.groups())
      if (first && !group.frozen) fill(group.grads, 0.0);
  }
  const Tensor loss = options_.device == kCpu ? compute(frames, targets) : compute_on_device(frames, targets);
  if (options_.accumulate > 1 && last) update();
  losses_.slice(place, place + 1).copy_from(loss.reshape({1}));
  skips_.slice(place, place + 1).copy_from(optimizer_.scalars().skip);
  frames_seen_ = frames;
  pending_.push_back({batch.items, steps_ + 1, learning_rate(), share, last});
  batches_begun_ = last ? 0 : batches_begun_ + 1;
  steps_ += last ? 1 : 0;
}

std::vector<StepResult> Trainer::results() {
  const Tensor losses = losses_.to(kCpu), skips = skips_.to(kCpu);
  const auto pending = std::exchange(pending_, {});
  std::vector<StepResult> results;
  for (size_t i = 0; i < pending.size(); ++i) {
    result_.loss += pending[i].share * losses.values<float>()[i];
    result_.clips += std::ssize(pending[i].items);
    ++result_.batches;
    if (!pending[i].last) continue;
    result_.step = pending[i].step;
    result_.learning_rate = pending[i].learning_rate;
    result_.skipped = skips.values<float>()[i] != 0;
    skipped_ += result_.skipped ? 1 : 0;
    skipped_in_a_row_ = result_.skipped ? skipped_in_a_row_ + 1 : 0;
    if (skipped_in_a_row_ > options_.most_skipped) diverged(pending[i], result_.loss);
    results.push_back(std::exchange(result_, {}));
  }
  frames_seen_ = {};
  return results;
}

void Trainer::diverged(const Queued& step, double loss) const {
  std::string where = first_not_finite(classifier_, frames_seen_.to(options_.device), arena_);
  if (!where.empty())
    where = ", first " + where;
  else if (options_.device == kCpu)  // elsewhere, what was looked at may be a later step's
    where = ", or each by itself is, but not their norm";
  const std::string steps = skipped_in_a_row_ == 1 ? "this step are" : concat(skipped_in_a_row_, " steps in a row are");
  throw Error(concat("training diverged at step ", step.step, " (clips ", clip_names(step.items, options_.clips),
                     "): the loss is ", loss, " and the gradients of ", steps, " not finite", where,
                     "; try a smaller --lr or --clip-norm"),
              exit_code::kNotFinite);
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

ModelFile Trainer::model() const {
  ModelFile file = classifier_.file();
  for (NamedTensor& each : file.tensors)
    each.tensor = average_ ? average_->of(each.tensor) : arena_.master(each.tensor);
  return file;
}

void Trainer::with_model(const std::function<void()>& f) {
  if (!average_) return f();
  struct Exchange {
    WeightAverage& average;
    explicit Exchange(WeightAverage& of) : average(of) { average.exchange(); }
    ~Exchange() { average.exchange(); }
  };
  const Exchange exchange(*average_);
  f();
}

std::vector<NamedTensor> Trainer::memories() const {
  std::vector<NamedTensor> memories = optimizer_.moments();
  if (!average_) return memories;
  for (const NamedTensor& each : classifier_.file().tensors) {
    const Tensor average = average_->of(each.tensor);
    if (average.storage() != arena_.master(each.tensor).storage())
      memories.push_back({"average." + each.name, average});
  }
  return memories;
}

TrainerState Trainer::state() const {
  ENGINE_CHECK(pending() == 0 && batches_begun_ == 0, "Trainer::state: a step is under way; call results() after it");
  return {memories(), steps_, skipped_, skipped_in_a_row_};
}

void Trainer::restore(const std::vector<NamedTensor>& tensors, const TrainerState& state, const std::string& where) {
  ENGINE_CHECK(pending() == 0 && batches_begun_ == 0, "Trainer::restore: a step is under way; call results() after it");
  load_into(file().tensors, tensors, where);
  load_into(memories(), state.moments, where);
  refresh_copies(arena_);
  steps_ = state.steps;
  skipped_ = state.skipped;
  skipped_in_a_row_ = state.skipped_in_a_row;
}

bool Trainer::finite() const { return all_finite(arena_.values()) && all_finite(arena_.buffers()); }

namespace {

// One pass over the training clips, or as much of it as max_steps and `proceed` allow.
class Epoch {
 public:
  // `state` is brought up to date whenever no step is pending.
  Epoch(Trainer& trainer, Loader& clips, const FitOptions& options, const FitHooks& hooks, Progress& progress,
        FitState& state)
      : trainer_(trainer), clips_(clips), options_(options), hooks_(hooks), progress_(progress), state_(state) {}

  // False when `proceed` ended it.
  bool run() {
    while (!at_limit() && step()) {
      if (hooks_.proceed && !hooks_.proceed()) return collect(), false;
      if (hooks_.save_due && hooks_.save_due()) collect(), hooks_.save(state_);
    }
    collect();
    return true;
  }

  bool at_limit() const { return options_.max_steps > 0 && trainer_.steps() >= options_.max_steps; }
  double mean_loss() const { return state_.learned > 0 ? state_.loss_sum / static_cast<double>(state_.learned) : NAN; }
  int64_t seen_here() const { return seen_here_; }

 private:
  // Queues the batches of one step; false when there are none left.
  bool step() {
    const int64_t end = std::min(clips_.position() + trainer_.options().accumulate, clips_.size());
    bool any = false;
    for (Batch batch; clips_.position() < end && next_clips(clips_, batch); any = true) {
      if (hooks_.before_batch) hooks_.before_batch(batch);
      trainer_.queue(batch, clips_.clips(clips_.position(), end));
      if (trainer_.pending() == trainer_.most_pending()) collect();
    }
    return any;
  }

  // Takes in the results of the steps that are queued.
  void collect() {
    for (const StepResult& result : trainer_.results()) {
      if (!result.skipped) {
        state_.loss_sum += result.loss * static_cast<double>(result.clips);
        state_.learned += result.clips;
      }
      state_.seen += result.clips;
      seen_here_ += result.clips;
      state_.batches += result.batches;
      progress_.update(state_.batches, state_.seen, mean_loss());
      if (hooks_.after_step) hooks_.after_step({.epoch = std::ssize(state_.epochs) + 1, .result = result});
    }
  }

  Trainer& trainer_;
  Loader& clips_;
  const FitOptions& options_;
  const FitHooks& hooks_;
  Progress& progress_;
  FitState& state_;
  int64_t seen_here_ = 0;  // by this process
};

// What a schedule of kind plateau goes by.
double loss_of(const EpochReport& report) {
  return report.validation.samples > 0 ? report.validation.loss : report.train_loss;
}

}  // namespace

bool out_of_patience(int64_t patience, const FitState& state) {
  return patience > 0 && std::ssize(state.epochs) - state.best_epoch >= patience;
}

FitResult fit(Trainer& trainer, Loader& training, Loader* validation, const FitOptions& options, const FitHooks& hooks,
              const FitState& from) {
  FitResult result{from};
  Progress progress(options.progress);
  const Evaluation nothing = make_metrics(trainer.classifier().description())->result();
  std::vector<double> losses;
  std::ranges::transform(result.epochs, std::back_inserter(losses), loss_of);
  while (std::ssize(result.epochs) < options.epochs && !out_of_patience(options.patience, result)) {
    const int64_t epoch = std::ssize(result.epochs) + 1;
    trainer.set_rate_factor(plateau_factor(trainer.options().schedule, losses));
    training.start_epoch(epoch - 1, result.batches);
    progress.start(concat("Epoch ", epoch, "/", options.epochs), training.size());
    Epoch pass(trainer, training, options, hooks, progress, result);
    if (!pass.run()) return result.stopped = true, result;
    // More steps, when they are allowed one day, go on in this epoch.
    const bool at_limit = pass.at_limit();
    if (at_limit && hooks.save) hooks.save(result);
    EpochReport report{.epoch = epoch, .train_loss = pass.mean_loss(), .validation = nothing};
    report.clips_per_second = static_cast<double>(pass.seen_here()) / progress.seconds();
    if (validation != nullptr)
      trainer.with_model([&] { report.validation = evaluate(trainer.classifier(), *validation, hooks.proceed); });
    if (hooks.proceed && !hooks.proceed()) return result.stopped = true, result;
    report.seconds = progress.seconds();
    progress.finish();
    report.best = result.best_epoch == 0 || better(report, result.epochs[static_cast<size_t>(result.best_epoch - 1)]);
    if (report.best) result.best_epoch = epoch;
    result.epochs.push_back(report);
    losses.push_back(loss_of(report));
    result.batches = result.learned = result.seen = 0;
    result.loss_sum = 0;
    if (hooks.after_epoch) hooks.after_epoch(report);
    if (at_limit) break;
    if (hooks.save) hooks.save(result);
  }
  return result;
}

}  // namespace engine
