#include "train/training_run.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <thread>

#include "engine/plans.h"
#include "train/chart.h"
#include "train/data_options.h"
#include "train/evaluate.h"
#include "train/failure.h"
#include "train/html_report.h"
#include "train/mistakes.h"
#include "train/output.h"
#include "train/roofline.h"
#include "train/short_videos.h"
#include "train/signals.h"
#include "train/weights.h"

namespace engine {
namespace {

constexpr const char* kPlans = "plans.txt";
constexpr int64_t kWarmupShare = 20;  // a twentieth of the steps

HeatFinder heat_of(Classifier& classifier) {
  return [&classifier](const Tensor& clip, int64_t output) { return grad_cam(classifier, clip, output); };
}

// With tensors of its own.
ModelFile snapshot(ModelFile file) {
  for (NamedTensor& each : file.tensors) each.tensor = each.tensor.clone();
  return file;
}

}  // namespace

std::string place(const TrainOptions& options, Device device) {
  std::string text = concat(device);
  if (device == kCpu && options.device == DeviceChoice::automatic && kWithCuda)
    text += concat(" (no CUDA: ", cuda_unavailable_reason(), ")");
  const char* precision = options.precision == Precision::tf32                ? "tf32"
                          : resolve(options.precision, device) == DType::bf16 ? "bf16"
                                                                              : "f32";
  return concat(text, ", ", precision);
}

TrainingRun::TrainingRun(const TrainOptions& options, const Splits& splits, const LoaderOptions& training,
                         Classifier& classifier, const RunFolder& folder, const std::string& data,
                         const FoundCheckpoint* from)
    : options_(options),
      splits_(splits),
      classifier_(classifier),
      folder_(folder),
      data_(data),
      from_(from),
      index_(training.index),
      training_(splits.train, training),
      plan_(plan_training(classifier.description(), trainer_options(), training_.clips(0, 1),
                          training_.memory().total())),
      trainer_(classifier, trainer_options()) {}

TrainerOptions TrainingRun::trainer_options() const {
  TrainerOptions trainer;
  trainer.optimizer = {.kind = options_.optimizer,
                       .weight_decay = options_.weight_decay,
                       .momentum = options_.momentum,
                       .clip_norm = options_.clip_norm};
  const Recipe& recipe = options_.recipe;
  const int64_t steps = schedule_steps();
  trainer.schedule = {.kind = options_.schedule,
                      .peak = options_.learning_rate,
                      .warmup_steps = options_.warmup.value_or(steps / kWarmupShare),
                      .total_steps = steps,
                      .drop_every = steps_per_epoch() * options_.drop_every,
                      .drop_factor = options_.drop_factor,
                      .plateau_patience = recipe.plateau_patience};
  for (const int64_t epoch : recipe.milestones) trainer.schedule.milestones.push_back(epoch * steps_per_epoch());
  trainer.objective.label_smoothing = options_.label_smoothing;
  if (options_.class_weights == ClassWeights::automatic)
    trainer.objective.weights = balanced_class_weights(splits_.train, mirrored_labels(options_, splits_.train.classes));
  trainer.accumulate = recipe.accumulate;
  trainer.ema = recipe.ema;
  trainer.recompute = recipe.recompute;
  trainer.mixing = {.mixup = recipe.mixup, .cutmix = recipe.cutmix};
  if (recipe.stop_on_nan) trainer.most_skipped = 0;
  trainer.seed = static_cast<uint64_t>(options_.seed);
  trainer.clips = &splits_.train;
  trainer.device = resolve(options_.device);
  trainer.compute = resolve(options_.precision, trainer.device);
  if (!options_.freeze.empty()) trainer.is_frozen = frozen_by(options_.freeze, classifier_.network());
  return trainer;
}

// A run that goes on keeps the schedule that it began with.
int64_t TrainingRun::schedule_steps() const {
  if (options_.schedule_epochs) return steps_per_epoch() * *options_.schedule_epochs;
  if (from_ != nullptr) return from_->state.schedule_steps;
  const int64_t steps = steps_per_epoch() * options_.epochs;
  return options_.max_steps > 0 ? std::min(steps, options_.max_steps) : steps;
}

FitState TrainingRun::resume() {
  if (from_ == nullptr) return {};
  const RunState& state = from_->state;
  trainer_.restore(state.model.tensors, state.trainer, concat("checkpoint '", from_->path, "'"));
  reports_ = state.fit.epochs;
  best_score_ = state.model.best_metric;
  say("resumed from {}: {} epochs and {} of {} batches", from_->path, reports_.size(), state.fit.batches,
      training_.size());
  if (std::ssize(reports_) >= options_.epochs)
    say("all of its epochs are made; to train on, give --epochs more than {}", options_.epochs);
  return state.fit;
}

LoaderOptions TrainingRun::evaluation_options(const Classifier& classifier, const Views& views) const {
  LoaderOptions loader =
      evaluation_loader(classifier.description().preprocessing, *options_.workers, views.clips, views.crops);
  loader.index = index_;
  loader.memory = options_.loader_memory.value_or(0);
  return loader;
}

int TrainingRun::run(const std::string& config) {
  try {
    const int code = work(config);
    code == exit_code::kOk ? log_->end("done") : log_->end("stopped", signal_name(StopSignals::received()));
    return code;
  } catch (const std::exception& error) {
    if (log_) log_->end("failed", error.what());
    throw;
  }
}

// What the run's log says of a run that goes on is taken up where the checkpoint was.
void TrainingRun::start_log() {
  std::optional<RunLog::Reached> reached;
  if (from_ != nullptr) reached = {from_->state.trainer.steps, std::ssize(from_->state.fit.epochs)};
  log_.emplace(folder_.folder(), reached);
  log_->start({.model = &classifier_.description(),
               .data = options_.data,
               .split = splits_.how,
               .train = std::ssize(splits_.train.samples),
               .val = std::ssize(splits_.val.samples),
               .test = std::ssize(splits_.test.samples),
               .parameters = classifier_.network().parameter_count(),
               .epochs = options_.epochs,
               .steps_per_epoch = training_.size(),
               .batch = options_.batch,
               .device = place(options_, resolve(options_.device)),
               .threads = *options_.threads});
}

int TrainingRun::work(const std::string& config) {
  const StopSignals signals;
  if (from_ == nullptr) folder_.remove_checkpoints();
  folder_.write("config.toml", config);
  start_log();
  say("{}", to_text(training_.memory()));
  say("memory  {}", to_text(plan_));
  if (!plan_.fits()) say("warning: that is more than there is; {}", advice(plan_, options_.recipe.accumulate));
  if (options_.profile > 0) return profile();
  if (!splits_.val.samples.empty()) validation_.emplace(splits_.val, evaluation_options(classifier_));
  const FitOptions fit_options{.epochs = options_.epochs,
                               .max_steps = options_.max_steps,
                               .patience = options_.recipe.patience,
                               .progress = options_.progress};
  const FitState begin = resume();
  checkpoints_.emplace(options_, folder_.folder(), trainer_,
                       RunState{.schedule_steps = schedule_steps(), .config = config, .data = data_, .plans = {}});
  const FitHooks hooks{.before_batch =
                           [this](const Batch& batch) {
                             if (trainer_.steps() == 0) log_->clips(batch, splits_.train);
                           },
                       .after_step = [this](const StepReport& report) { log_->step(report); },
                       .proceed = [this] { return StopSignals::received() == 0 && !out_of_time(); },
                       .after_epoch = [this](const EpochReport& report) { after_epoch(report); },
                       .save_due = [this] { return checkpoints_->due(); },
                       .save = [this](const FitState& state) { save_checkpoint(state); }};
  FitResult result;
  try {
    result = fit(trainer_, training_, validation_ ? &*validation_ : nullptr, fit_options, hooks, begin);
  } catch (...) {
    throw_with_advice(plan_, options_.recipe.accumulate, folder_.folder(), *checkpoints_);
  }
  if (result.stopped) return save_and_stop(result);
  if (saving_.failed()) write_epoch(std::ssize(result.epochs));
  checkpoints_->finish();
  if (out_of_patience(options_.recipe.patience, result) && std::ssize(result.epochs) < options_.epochs)
    say("stopped early: {} epochs in a row were not better than epoch {}", options_.recipe.patience, result.best_epoch);
  if (!options_.json) print_err(training_curves(reports_, locale_is_utf8()));
  if (trainer_.skipped_steps() > 0)
    say("{} of {} steps were skipped: their gradients were not finite", trainer_.skipped_steps(), trainer_.steps());
  print_err(replaced_.summary(splits_.train));
  say("best model: epoch {}, {}", result.best_epoch, folder_.best_model());
  say("report: {}/{}", folder_.folder(), kReportFile);
  if (!splits_.test.samples.empty()) return test(result.best_epoch);
  if (validation_) judge_validation();
  return exit_code::kOk;
}

// Steps of one batch each.
int TrainingRun::profile() {
  ProfileWindow window(resolve(options_.device), options_.profile);
  for (int64_t epoch = 0; !window.done() && StopSignals::received() == 0; ++epoch) {
    training_.start_epoch(epoch);
    for (Batch batch; !window.done() && StopSignals::received() == 0 && next_clips(training_, batch);) {
      trainer_.queue(batch);
      if (trainer_.pending() == trainer_.most_pending()) trainer_.results();
      window.step();
    }
  }
  trainer_.results();
  const Roofline found =
      roofline(window.result(), measure_ceilings(trainer_.options().device, trainer_.options().compute));
  print_out(options_.json ? to_json(found).dump() + "\n" : to_text(found));
  log_->file(kTraceFile, chrome_trace(window.result()));
  log_->profile(found);
  say("trace: {}/{}, for ui.perfetto.dev", folder_.folder(), kTraceFile);
  say("report: {}/{}", folder_.folder(), kReportFile);
  const int signal = StopSignals::received();
  return signal == 0 ? exit_code::kOk : stop_exit_code(signal);
}

bool TrainingRun::out_of_time() const {
  const std::chrono::duration<double> gone = std::chrono::steady_clock::now() - begin_;
  return options_.recipe.max_time > 0 && gone.count() >= options_.recipe.max_time;
}

void TrainingRun::check_finite() const {
  if (trainer_.finite()) return;
  throw Error(concat("the network is not finite in epoch ", reports_.size() + 1, " (step ", trainer_.steps(),
                     "); it was not saved, earlier models in ", folder_.folder(), " are kept; try a smaller --lr"),
              exit_code::kNotFinite);
}

void TrainingRun::save_checkpoint(const FitState& state) {
  check_finite();
  log_->checkpoint(trainer_.steps(), checkpoint_name(trainer_.steps()));
  checkpoints_->save(state);
}

void TrainingRun::after_epoch(const EpochReport& report) {
  check_finite();
  reports_.push_back(report);
  const double score = report.validation.score();
  if (report.best) best_score_ = std::isfinite(score) ? score : 0.0;
  if (report.best) unsaved_best_ = snapshot(model(report.epoch));
  saving_.attempt(concat("epoch ", report.epoch), [&] { write_epoch(report.epoch); });
  print_out((options_.json ? epoch_json(report, training_.stats()) : epoch_line(report, options_.epochs)) + "\n");
  log_->epoch(report, training_.stats(), trainer_.steps(), trainer_.file().tensors, classifier_.classes());
  warn_about_data(report);
  log_->report();
}

void TrainingRun::warn(const std::string& text) {
  print_err(text);
  if (!text.empty()) log_->warning(trainer_.steps(), std::ssize(reports_), text);
}

void TrainingRun::warn_about_data(const EpochReport& report) {
  warn(replaced_.tell(training_.stats(), splits_.train));
  if (validation_) warn(left_out_clips(validation_->stats(), splits_.val));
  warn(waiting_warning(training_.stats(), report.seconds, *options_.workers,
                       std::max(1u, std::thread::hardware_concurrency())));
}

void TrainingRun::write_epoch(int64_t epoch) {
  save_model(folder_.last_model(), model(epoch));
  if (unsaved_best_) save_model(folder_.best_model(), *unsaved_best_);
  unsaved_best_.reset();
  save_plans();
  folder_.write("metrics.csv", metrics_csv(reports_));
}

ModelFile TrainingRun::model(int64_t epoch) const {
  ModelFile file = trainer_.model();
  file.epoch = epoch;
  file.step = trainer_.steps();
  file.best_metric = best_score_;
  return file;
}

void TrainingRun::save_plans() const {
  const std::string plans = chosen_plans(resolve(options_.device));
  plans.empty() ? folder_.remove(kPlans) : folder_.write(kPlans, plans);
}

int TrainingRun::save_and_stop(const FitResult& result) {
  const int signal = StopSignals::received();
  const char* reason = signal != 0 ? signal_name(signal) : "--max-time";
  const int code = signal != 0 ? stop_exit_code(signal) : exit_code::kOk;
  if (!trainer_.finite()) {
    say("stopped by {} at step {}; the network is not finite and was not saved", reason, trainer_.steps());
    return code;
  }
  write_epoch(std::ssize(result.epochs));
  checkpoints_->save(result);
  checkpoints_->finish();
  say("stopped by {} at step {}; saved {}; go on with: engine_train --resume {}", reason, trainer_.steps(),
      folder_.last_model(), options_.out);
  return code;
}

int TrainingRun::test(int64_t best_epoch) {
  Classifier best = Classifier::load(folder_.best_model());
  const Device device = resolve(options_.device);
  best.move_to(device, resolve(options_.precision, device));
  const Views views{options_.test_clips, options_.test_crops};
  Loader clips(splits_.test, evaluation_options(best, views));
  Mistakes mistakes(best.description(), splits_.test);
  const ViewsEvaluation evaluation = evaluate_views(
      best, clips, [] { return StopSignals::received() == 0; }, {},
      [&](const JudgedVideo& video) { mistakes.add(video); });
  save_plans();
  print_err(left_out_clips(clips.stats(), splits_.test));
  if (const int signal = StopSignals::received(); signal != 0) {
    say("stopped by {} in the test; the models of all epochs are saved", signal_name(signal));
    return stop_exit_code(signal);
  }
  log_->test(evaluation, views, best_epoch, trainer_.steps(), best.classes());
  mistakes.write(*log_, "test", trainer_.steps(), heat_of(best));
  if (options_.json) {
    print_out(metrics_json("test", evaluation, views, best.classes()) + "\n");
  } else {
    print_out(test_line(evaluation.videos) + "\n");
    if (views.count() > 1) print_out(single_views_line(evaluation.views) + "\n");
    say("tested epoch {} on {} clips{}", best_epoch, evaluation.videos.samples,
        views.count() > 1 ? ", " + to_text(views) : "");
  }
  return exit_code::kOk;
}

// The mistakes of the best model on the validation clips, for the report; its figures are known.
void TrainingRun::judge_validation() {
  Classifier best = Classifier::load(folder_.best_model());
  const Device device = resolve(options_.device);
  best.move_to(device, resolve(options_.precision, device));
  Mistakes mistakes(best.description(), splits_.val);
  evaluate_views(
      best, *validation_, [] { return StopSignals::received() == 0; }, {},
      [&](const JudgedVideo& video) { mistakes.add(video); });
  if (StopSignals::received() == 0) mistakes.write(*log_, "val", trainer_.steps(), heat_of(best));
}

}  // namespace engine
