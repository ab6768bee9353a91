#include "train/session.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "engine/autograd.h"
#include "engine/plans.h"
#include "train/chart.h"
#include "train/data_index.h"
#include "train/data_leaks.h"
#include "train/data_options.h"
#include "train/evaluate.h"
#include "train/model_description.h"
#include "train/output.h"
#include "train/report.h"
#include "train/run_folder.h"
#include "train/short_videos.h"
#include "train/signals.h"
#include "train/trainer.h"
#include "train/weights.h"

namespace engine {
namespace {

constexpr const char* kPlans = "plans.txt";
constexpr int64_t kWarmupShare = 20;  // a twentieth of the steps

template <class... Parts>
void say(fmt::format_string<Parts...> format, Parts&&... parts) {
  print_err(fmt::format(format, std::forward<Parts>(parts)...) + "\n");
}

// "cpu", "cpu (no CUDA: ...)" where a device was looked for, or "cuda:0"; with what it computes in.
std::string place(const TrainOptions& options, Device device) {
  std::string text = concat(device);
  if (device == kCpu && options.device == DeviceChoice::automatic && kWithCuda)
    text += concat(" (no CUDA: ", cuda_unavailable_reason(), ")");
  const char* precision = options.precision == Precision::tf32                ? "tf32"
                          : resolve(options.precision, device) == DType::bf16 ? "bf16"
                                                                              : "f32";
  return concat(text, ", ", precision);
}

ModelFile describe(const TrainOptions& options, const Dataset& dataset) {
  ModelFile file;
  file.model = options.model;
  if (names_description(options.model)) {
    file.model = std::filesystem::path(options.model).stem();
    file.model_options["description"] = read_description(options.model);
  }
  if (options.dropout) file.model_options["dropout"] = fmt::format("{}", *options.dropout);
  if (!options.model_size.empty()) file.model_options["size"] = options.model_size;
  if (!options.backbone.empty()) file.model_options["backbone"] = options.backbone;
  file.head = options.head;
  file.classes = dataset.classes;
  file.targets = standardization(dataset);
  file.preprocessing = preprocessing(options);
  file.seed = static_cast<uint64_t>(options.seed);
  return file;
}

// Refuses a described model that cannot be made, or does not take the clips, while the place in its file is known.
void check_description(const ModelFile& file, const std::string& path) {
  const Preprocessing& p = file.preprocessing;
  const layers::ModelOptions options{.outputs = std::ssize(file.classes), .channels = input_channels(p)};
  const auto network = make_described_model(file.model_options.at("description"), path, options);
  const NoGrad no_grad;
  network->eval();
  (*network)(Tensor::zeros({1, p.frames, p.height, p.width, options.channels}));
}

void set_plans(const TrainOptions& options, Device device) {
  tune_plans = options.tune;
  if (options.tune && device == kCpu) say("warning: --tune is for CUDA devices and does nothing on the CPU");
  if (options.plans.empty()) return;
  std::ifstream file(options.plans, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw Error(concat(options.plans, ": no such file, or it cannot be read"), exit_code::kNoInput);
  if (text.empty()) throw Error(concat(options.plans, ": empty file (0 bytes)"), exit_code::kCheckpoint);
  try {
    use_plans(device, text);
  } catch (const Error& error) {
    throw Error(concat(options.plans, ": ", error.what()), error.code());
  }
}

// One run in one folder.
class Session {
 public:
  Session(const TrainOptions& options, const Splits& splits, const LoaderOptions& training, Classifier& classifier,
          const std::string& folder)
      : options_(options),
        splits_(splits),
        classifier_(classifier),
        folder_(folder, options.force),
        index_(training.index),
        training_(splits.train, training),
        trainer_(classifier, trainer_options()) {}

  int run(const std::string& config);

 private:
  TrainerOptions trainer_options() const;
  LoaderOptions evaluation_options(const Classifier& classifier, const Views& views = {}) const;
  void after_epoch(const EpochReport& report);
  void warn_about_data(const EpochReport& report);
  void save(const std::string& path, int64_t epoch) const;
  void save_plans() const;
  int save_and_stop(int64_t finished_epochs) const;
  int test(int64_t best_epoch) const;

  const TrainOptions& options_;
  const Splits& splits_;
  Classifier& classifier_;
  RunFolder folder_;
  std::shared_ptr<const VideoIndex> index_;
  Loader training_;
  std::optional<Loader> validation_;
  Trainer trainer_;
  std::vector<EpochReport> reports_;
  ReplacedClips replaced_;
  double best_score_ = 0;
};

TrainerOptions Session::trainer_options() const {
  TrainerOptions trainer;
  trainer.optimizer = {.kind = options_.optimizer,
                       .weight_decay = options_.weight_decay,
                       .momentum = options_.momentum,
                       .clip_norm = options_.clip_norm};
  int64_t steps = training_.size() * options_.epochs;
  if (options_.max_steps > 0) steps = std::min(steps, options_.max_steps);
  trainer.schedule = {.kind = options_.schedule,
                      .peak = options_.learning_rate,
                      .warmup_steps = options_.warmup.value_or(steps / kWarmupShare),
                      .total_steps = steps,
                      .drop_every = training_.size() * options_.drop_every,
                      .drop_factor = options_.drop_factor};
  trainer.objective.label_smoothing = options_.label_smoothing;
  if (options_.class_weights == ClassWeights::automatic)
    trainer.objective.weights = balanced_class_weights(splits_.train);
  trainer.seed = static_cast<uint64_t>(options_.seed);
  trainer.clips = &splits_.train;
  trainer.device = resolve(options_.device);
  trainer.compute = resolve(options_.precision, trainer.device);
  if (!options_.freeze.empty()) trainer.is_frozen = frozen_by(options_.freeze, classifier_.network());
  return trainer;
}

LoaderOptions Session::evaluation_options(const Classifier& classifier, const Views& views) const {
  LoaderOptions loader =
      evaluation_loader(classifier.description().preprocessing, *options_.workers, views.clips, views.crops);
  loader.index = index_;
  loader.memory = options_.loader_memory.value_or(0);
  return loader;
}

int Session::run(const std::string& config) {
  const StopSignals signals;
  folder_.write("config.toml", config);
  say("{}", to_text(training_.memory()));
  if (!splits_.val.samples.empty()) validation_.emplace(splits_.val, evaluation_options(classifier_));
  const FitOptions fit_options{
      .epochs = options_.epochs, .max_steps = options_.max_steps, .progress = options_.progress};
  const FitHooks hooks{.proceed = [] { return StopSignals::received() == 0; },
                       .after_epoch = [this](const EpochReport& report) { after_epoch(report); }};
  const FitResult result = fit(trainer_, training_, validation_ ? &*validation_ : nullptr, fit_options, hooks);
  if (result.stopped) return save_and_stop(std::ssize(result.epochs));
  if (!options_.json) print_err(training_curves(reports_, locale_is_utf8()));
  if (trainer_.skipped_steps() > 0)
    say("{} of {} steps were skipped: their gradients were not finite", trainer_.skipped_steps(), trainer_.steps());
  print_err(replaced_.summary(splits_.train));
  say("best model: epoch {}, {}", result.best_epoch, folder_.best_model());
  return splits_.test.samples.empty() ? exit_code::kOk : test(result.best_epoch);
}

void Session::after_epoch(const EpochReport& report) {
  reports_.push_back(report);
  if (!trainer_.finite())
    throw Error(concat("the network is not finite after epoch ", report.epoch, " (step ", trainer_.steps(),
                       "); it was not saved, earlier models in ", folder_.path(""), " are kept; try a smaller --lr"),
                exit_code::kNotFinite);
  const double score = report.validation.score();
  if (report.best) best_score_ = std::isfinite(score) ? score : 0.0;
  save(folder_.last_model(), report.epoch);
  if (report.best) save(folder_.best_model(), report.epoch);
  save_plans();
  folder_.write("metrics.csv", metrics_csv(reports_));
  print_out((options_.json ? epoch_json(report, training_.stats()) : epoch_line(report, options_.epochs)) + "\n");
  warn_about_data(report);
}

void Session::warn_about_data(const EpochReport& report) {
  print_err(replaced_.tell(training_.stats(), splits_.train));
  if (validation_) print_err(left_out_clips(validation_->stats(), splits_.val));
  print_err(waiting_warning(training_.stats(), report.seconds, *options_.workers,
                            std::max(1u, std::thread::hardware_concurrency())));
}

void Session::save(const std::string& path, int64_t epoch) const {
  ModelFile file = trainer_.file();
  file.epoch = epoch;
  file.step = trainer_.steps();
  file.best_metric = best_score_;
  save_model(path, file);
}

void Session::save_plans() const {
  const std::string plans = chosen_plans(resolve(options_.device));
  plans.empty() ? folder_.remove(kPlans) : folder_.write(kPlans, plans);
}

int Session::save_and_stop(int64_t finished_epochs) const {
  const int signal = StopSignals::received();
  if (!trainer_.finite()) {
    say("stopped by {} at step {}; the network is not finite and was not saved", signal_name(signal), trainer_.steps());
    return stop_exit_code(signal);
  }
  save(folder_.last_model(), finished_epochs);
  save_plans();
  say("stopped by {} at step {}; saved {}", signal_name(signal), trainer_.steps(), folder_.last_model());
  return stop_exit_code(signal);
}

int Session::test(int64_t best_epoch) const {
  Classifier best = Classifier::load(folder_.best_model());
  const Device device = resolve(options_.device);
  best.move_to(device, resolve(options_.precision, device));
  const Views views{options_.test_clips, options_.test_crops};
  Loader clips(splits_.test, evaluation_options(best, views));
  const ViewsEvaluation evaluation = evaluate_views(best, clips, [] { return StopSignals::received() == 0; });
  save_plans();
  print_err(left_out_clips(clips.stats(), splits_.test));
  if (const int signal = StopSignals::received(); signal != 0) {
    say("stopped by {} in the test; the models of all epochs are saved", signal_name(signal));
    return stop_exit_code(signal);
  }
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

void announce(const TrainOptions& options, const Splits& splits, Classifier& classifier, const std::string& folder) {
  say("data    {}: {} train, {} val, {} test clips; {} {}", options.data, splits.train.samples.size(),
      splits.val.samples.size(), splits.test.samples.size(), splits.train.classes.size(),
      output_word(options.head, splits.train.classes.size() > 1));
  if (!splits.how.empty()) say("        {}", splits.how);
  print_err(leak_warning(splits, options.data));
  say("model   {}: {} parameters; input {} frames of {}x{}, {}", classifier.description().model,
      classifier.network().parameter_count(), *options.frames, options.size->width, options.size->height,
      options.input);
  say("run     {}; seed {}; {}, threads {}, workers {}", folder, options.seed, place(options, resolve(options.device)),
      *options.threads, *options.workers);
}

}  // namespace

int train(TrainOptions& options, const OptionTable& table) {
  if (options.data.empty())
    throw Error("no data given: engine_train DATA, where DATA is a folder with a folder of videos per class, or a list",
                exit_code::kUsage);
  check_head(options);
  const Device device = resolve(options.device);
  resolve(options.precision, device);
  set_plans(options, device);
  if (options.fps > 0 && options.sampling != "dense")
    say("warning: --fps is for --sampling dense and does nothing with {}", options.sampling);
  Splits splits = open_splits(options.data, split_options(options));
  const bool any_workers = !options.workers;
  resolve(options, picture_size(splits.train, present_index(options.data).get()));
  set_cpu_threads(static_cast<int>(*options.threads));
  LoaderOptions training = training_loader(options, splits.train.classes);
  const ModelFile description = describe(options, splits.train);
  if (names_description(options.model)) check_description(description, options.model);
  Classifier classifier(description);
  frozen_by(options.freeze, classifier.network());  // refuses mistakes before anything is written
  const std::string folder = options.out.empty() ? default_run_folder(options.data, description.model) : options.out;
  options.out = folder;
  announce(options, splits, classifier, folder);
  if (!options.init_from.empty())
    print_err(to_text(load_fitting(classifier.network(), options.init_from), options.init_from));
  if (options.dry_run) return exit_code::kOk;
  training.index = prepare_index(options.data, splits, options.progress);
  print_err(settle_short_videos(splits, training.clip, training.index.get()));
  classifier.description().targets = standardization(splits.train);  // of the clips that are left
  if (any_workers) options.workers = training.workers = affordable_workers(splits.train, training);
  return Session(options, splits, training, classifier, folder).run(table.to_toml());
}

}  // namespace engine
