#include "train/evaluate_data.h"

#include <fmt/format.h>

#include <cmath>

#include "io/atomic_file.h"
#include "io/dataset.h"
#include "io/text.h"
#include "train/confusion.h"
#include "train/data_index.h"
#include "train/data_options.h"
#include "train/head.h"
#include "train/output.h"
#include "train/predict_options.h"
#include "train/report.h"
#include "train/scores.h"
#include "train/short_videos.h"

namespace engine {
namespace {

constexpr const char* kExamples = R"(Examples:
  engine_predict eval best.safetensors videos --split val
  engine_predict eval best.safetensors videos --clips 10 --crops 3
  engine_predict eval best.safetensors videos --scores scores.jsonl --confusion confusion.png
  engine_predict eval --from-scores scores.jsonl                  the same figures again, without model and videos)";

constexpr size_t kWorstClasses = 5;

const Dataset& chosen_part(const Splits& splits, const std::string& split, std::string& name) {
  name = !split.empty() ? split : !splits.test.samples.empty() ? "test" : "val";
  const Dataset& part = name == "train" ? splits.train : name == "val" ? splits.val : splits.test;
  if (part.samples.empty())
    throw Error(concat("the data have no ", name, " part (", splits.how, "); choose another with --split"),
                exit_code::kNoInput);
  return part;
}

std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 5;
  std::string text = concat(names.size(), " (");
  for (size_t i = 0; i < names.size() && i < kMost; ++i) text += (i > 0 ? ", " : "") + names[i];
  return text + (names.size() > kMost ? ", ...)" : ")");
}

void check_classes(const Classifier& classifier, const Dataset& data, const std::string& model) {
  if (classifier.classes() == data.classes) return;
  const std::string what = output_word(data.head, true);
  throw Error(concat("checkpoint '", model, "' knows the ", what, " ", listed(classifier.classes()), ", the data have ",
                     listed(data.classes), "; use data with the same ", what),
              exit_code::kCheckpoint);
}

void check(const EvaluateOptions& options) {
  const auto refuse = [](const char* why) { throw Error(why, exit_code::kUsage); };
  const bool again = !options.from_scores.empty();
  if (again && !(options.model.path + options.scores).empty())
    refuse("--from-scores takes the place of MODEL, DATA and --scores; leave these out");
  if (!again && (options.model.path.empty() || options.data.empty()))
    refuse("MODEL and DATA are expected; see engine_predict eval --help");
  if (options.scores.ends_with(".csv")) refuse("--scores: the scores are JSON lines; give a file .jsonl");
  if (!options.confusion.empty()) check_confusion_path(options.confusion);
}

ModelFile outputs_of(const ModelFile& model) {
  ModelFile result;
  result.head = model.head;
  result.classes = model.classes;
  result.targets = model.targets;
  return result;
}

// The scores of all clips that can be read.
Scores scores_of(const EvaluateOptions& options) {
  Classifier classifier = open_model(options.model);
  SplitOptions split;
  split.val_fraction = options.val_fraction;
  split.seed = classifier.description().seed;
  split.head = classifier.description().head;
  split.split_number = options.split_number;
  const Splits splits = open_splits(options.data, split);
  Scores scores{outputs_of(classifier.description()), "", {options.clips, options.crops}, {}};
  Splits judged;
  const Dataset& part = judged.test = chosen_part(splits, options.split, scores.part);
  check_classes(classifier, part, options.model.path);
  LoaderOptions loading = evaluation_loader(classifier.description().preprocessing, options.workers, scores.views.clips,
                                            scores.views.crops);
  loading.index = prepare_index(options.data, splits);
  const ShortVideo policy = loading.clip.short_videos;
  if (policy == ShortVideo::skip || policy == ShortVideo::error)
    print_err(settle_short_videos(judged, loading.clip, loading.index.get()));
  Loader clips(part, loading);
  int64_t last = -1, view = 0;
  evaluate_views(classifier, clips, {},
                 [&](int64_t sample, std::span<const float> outputs, std::span<const double> targets) {
                   view = sample == last ? view + 1 : 0;
                   last = sample;
                   scores.clips.push_back({part.samples[static_cast<size_t>(sample)].name,
                                           {outputs.begin(), outputs.end()},
                                           {targets.begin(), targets.end()},
                                           view});
                 });
  print_err(left_out_clips(clips.stats(), part));
  return scores;
}

std::string figure_lines(const std::vector<Figure>& figures) {
  std::string text;
  for (const Figure& each : figures)
    text += std::isnan(each.value)                ? fmt::format("{}: -\n", each.title)
            : each.kind == Figure::Kind::quantity ? fmt::format("{}: {:.6g}\n", each.title, each.value)
                                                  : fmt::format("{}: {:.4f}\n", each.title, each.value);
  return text;
}

std::string report(const Scores& scores, const ViewsEvaluation& both) {
  const Evaluation& evaluation = both.videos;
  const std::vector<std::string>& names = scores.model.classes;
  std::string text = scores.views.count() == 1
                         ? fmt::format("{} clips: {}\n", scores.part, evaluation.samples)
                         : fmt::format("{} videos: {}, {}\n{}\nOf videos, the means of their views:\n", scores.part,
                                       evaluation.samples, to_text(scores.views), single_views_line(both.views));
  text += fmt::format("loss: {:.4f}\n", evaluation.loss);
  text += figure_lines(evaluation.figures) + figure_lines(evaluation.more);
  text += fmt::format("\n{}", output_table(evaluation, names));
  if (evaluation.head != Head::classification) return text;
  const std::string worst = worst_classes(evaluation, names, kWorstClasses);
  if (!worst.empty()) text += fmt::format("\nWorst classes:\n{}", worst);
  return text + fmt::format("\n{}", confusion_table(evaluation, names));
}

}  // namespace

int evaluate_data(const EvaluateOptions& options) {
  check(options);
  const Scores scores = options.from_scores.empty() ? scores_of(options) : read_scores(options.from_scores);
  const ViewsEvaluation both = evaluate(scores);
  if (!options.confusion.empty() && both.videos.head != Head::classification)
    throw Error(concat("--confusion is for classes, and the head of the model is ", name_of(both.videos.head),
                       "; leave it out"),
                exit_code::kUsage);
  print_out(options.json ? metrics_json(scores.part, both, scores.views, scores.model.classes) + "\n"
                         : report(scores, both));
  if (!options.scores.empty()) write_file_atomically(options.scores, to_text(scores));
  if (!options.confusion.empty()) write_confusion(options.confusion, both.videos, scores.model.classes);
  return exit_code::kOk;
}

Subcommand declare_eval(CLI::App& program) {
  CLI::App* command = program.add_subcommand("eval", "Judges a model on labelled videos");
  command->footer(kExamples);
  const auto options = std::make_shared<EvaluateOptions>();
  declare_model(*command, options->model, false);
  command->add_option("DATA", options->data, "Labelled videos, as for engine_train");
  command->add_option("--split", options->split, "train, val or test (default test; val where there is no test part)")
      ->check(CLI::IsMember({"train", "val", "test"}));
  command
      ->add_option("--val-fraction", options->val_fraction,
                   "As given to engine_train, where it split the validation part off (default 0.2)")
      ->type_name("X")
      ->check(CLI::Range(0.0, 0.9));
  command->add_option("--split-number", options->split_number, "As given to engine_train (default: the first)")
      ->type_name("N")
      ->check(CLI::Range(0, 99));
  command->add_option("--workers", options->workers, "Threads that read videos (default 1)")
      ->type_name("N")
      ->check(CLI::Range(int64_t{0}, int64_t{kMaxWorkers}));
  command
      ->add_option("--clips", options->clips,
                   "Look at so many clips of each video and average what they say (default 1)")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}));
  declare_choice(*command, "--crops", options->crops, kCropNames,
                 "... at so many places of each: 1, the centre; 3, the ends too; 10, corners, mirrored");
  command->add_option("--scores", options->scores, "Write what the model says of every clip: FILE.jsonl")
      ->type_name("FILE");
  command->add_option("--from-scores", options->from_scores, "Tell the figures of such a file; without MODEL and DATA")
      ->type_name("FILE");
  command->add_option("--confusion", options->confusion, "Write the confusion matrix: FILE.csv or FILE.png")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "One JSON object");
  return {command, [options] { return evaluate_data(*options); }};
}

}  // namespace engine
