#include "train/session.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/autograd.h"
#include "engine/plans.h"
#include "train/data_index.h"
#include "train/data_leaks.h"
#include "train/data_options.h"
#include "train/model_description.h"
#include "train/output.h"
#include "train/overfit.h"
#include "train/short_videos.h"
#include "train/training_run.h"
#include "train/weights.h"

namespace engine {
namespace {

ModelFile describe(const TrainOptions& options, const Dataset& dataset) {
  ModelFile file;
  file.model = options.model;
  if (names_description(options.model)) {
    file.model = std::filesystem::path(options.model).stem();
    file.model_options["description"] = read_description(options.model);
  }
  if (options.dropout) file.model_options["dropout"] = fmt::format("{}", *options.dropout);
  if (options.recipe.drop_path > 0) file.model_options["drop_path"] = fmt::format("{}", options.recipe.drop_path);
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

void resolve_settings(TrainOptions& options) {
  FrameSize size{};
  if (!options.data.empty()) {
    const Splits splits = open_splits(options.data, split_options(options));
    size = picture_size(splits.train, present_index(options.data).get());
  }
  resolve(options, size);
}

int train(TrainOptions& options, const OptionTable& table) {
  if (options.data.empty()) options.data = options.train_list;
  if (options.data.empty())
    throw Error("no data given: engine_train DATA, where DATA is a folder with a folder of videos per class, or a list",
                exit_code::kUsage);
  check_head(options);
  check_recipe(options);
  if (options.profile > 0 && (options.recipe.overfit_batch || !options.resume.empty()))
    throw Error("--profile makes a run of its own; leave out --resume and --overfit-batch", exit_code::kUsage);
  if (options.recipe.overfit_batch) options.dropout = options.recipe.drop_path = 0;
  const Device device = resolve(options.device);
  resolve(options.precision, device);
  set_plans(options, device);
  if (options.fps > 0 && options.sampling != "dense")
    say("warning: --fps is for --sampling dense and does nothing with {}", options.sampling);
  Splits splits = open_splits(options.data, split_options(options));
  const std::string found = fingerprint(splits);
  const bool any_workers = !options.workers;
  resolve(options, picture_size(splits.train, present_index(options.data).get()));
  set_cpu_threads(static_cast<int>(*options.threads));
  LoaderOptions training = training_loader(options, splits.train.classes);
  const ModelFile description = describe(options, splits.train);
  if (names_description(options.model)) check_description(description, options.model);
  Classifier classifier(description);
  frozen_by(options.freeze, classifier.network());  // refuses mistakes before anything is written
  std::string folder = options.resume.empty() ? options.out : options.resume;
  if (folder.empty()) folder = default_run_folder(options.data, description.model);
  options.out = folder;
  std::optional<FoundCheckpoint> from;
  std::string loaded;
  if (!options.resume.empty()) {
    from = checkpoint_to_resume(options, table, found);
    if (options.plans.empty() && !from->state.plans.empty()) use_plans(device, from->state.plans);
  } else if (!options.init_from.empty()) {
    loaded = to_text(load_fitting(classifier.network(), options.init_from), options.init_from);
  }
  std::optional<RunFolder> run;
  const bool may_hold_a_run = from || options.force;
  if (!options.dry_run && !options.recipe.overfit_batch)
    run.emplace(folder, may_hold_a_run ? RunFolder::Earlier::accept : RunFolder::Earlier::refuse);
  announce(options, splits, classifier, folder);
  print_err(loaded);
  if (options.dry_run) return exit_code::kOk;
  training.index = prepare_index(options.data, splits, options.progress);
  print_err(settle_short_videos(splits, training.clip, training.index.get()));
  classifier.description().targets = standardization(splits.train);  // of the clips that are left
  if (any_workers) options.workers = training.workers = affordable_workers(splits.train, training);
  if (options.recipe.overfit_batch) return overfit_batch(options, splits.train, training, classifier);
  return TrainingRun(options, splits, training, classifier, *run, found, from ? &*from : nullptr).run(table.to_toml());
}

}  // namespace engine
