#include "train/predict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "io/dataset.h"
#include "io/list_file.h"
#include "io/text.h"
#include "train/data_index.h"
#include "train/data_options.h"
#include "train/output.h"
#include "train/report.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

size_t widest(const std::string& title, const std::vector<std::string>& texts) {
  size_t width = title.size();
  for (const std::string& text : texts) width = std::max(width, escaped(text).size());
  return width;
}

// What is told of a video: outputs of the network, by number. All targets, or the labels over the threshold, or the
// `top` most probable classes.
std::vector<size_t> told(Head head, const std::vector<double>& values, size_t top) {
  std::vector<size_t> order = top_classes(values, head == Head::classification ? top : values.size());
  if (head == Head::regression) std::ranges::sort(order);
  if (head == Head::multilabel) std::erase_if(order, [&](size_t i) { return !(values[i] > kLabelThreshold); });
  return order;
}

// Columns: file, class, probability; or target, value; or label, probability.
class Table {
 public:
  Table(const std::vector<std::string>& files, const ModelFile& model)
      : model_(model),
        title_(output_word(model.head)),
        file_width_(widest("file", files)),
        name_width_(widest(title_, model.classes)) {}
  void header() const { row("file", title_, model_.head == Head::regression ? "value" : "probability"); }
  void rows(const Prediction& prediction, size_t top) const {
    const std::vector<size_t> outputs = told(model_.head, prediction.values, top);
    if (outputs.empty()) row(prediction.file, "-", "-");
    for (const size_t i : outputs) {
      const double value = prediction.values[i];
      row(prediction.file, model_.classes[i],
          model_.head == Head::regression ? fmt::format("{:.6g}", value) : fmt::format("{:.4f}", value));
    }
  }

 private:
  void row(const std::string& file, const std::string& name, const std::string& value) const {
    print_out(fmt::format("{:<{}}  {:<{}}  {}\n", escaped(file), file_width_, escaped(name), name_width_, value));
  }

  const ModelFile& model_;
  std::string title_;
  size_t file_width_, name_width_;
};

void print_object(const Prediction& prediction, const ModelFile& model, size_t top) {
  using nlohmann::ordered_json;
  ordered_json object = {{"file", prediction.file}}, values = ordered_json::object(), names = ordered_json::array();
  for (size_t i = 0; i < model.classes.size(); ++i) values[model.classes[i]] = prediction.values[i];
  for (const size_t i : told(model.head, prediction.values, top))
    names.push_back(model.head == Head::classification
                        ? ordered_json{{"class", model.classes[i]}, {"probability", prediction.values[i]}}
                        : ordered_json(model.classes[i]));
  if (model.head == Head::classification) {
    object.update(names[0]);
    object["top"] = names;
  } else if (model.head == Head::regression) {
    object["targets"] = values;
  } else {
    object["labels"] = names;
    object["probabilities"] = values;
  }
  print_out(object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

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

// The model, on the device and in the precision wanted.
template <class Options>
Classifier load(const Options& options) {
  Classifier classifier = Classifier::load(options.model);
  const Device device = resolve(options.device);
  classifier.move_to(device, resolve(options.precision, device));
  return classifier;
}

}  // namespace

std::vector<std::string> videos_at(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw Error(concat(escaped(path), ": no such file"), exit_code::kNoInput);
  if (!fs::is_directory(path, ignored)) return is_list_name(path) ? read_paths(path) : std::vector{path};
  const bool is_clip = std::ranges::any_of(fs::directory_iterator(path, ignored), [](const auto& entry) {
    return is_image_name(entry.path().filename().string());
  });
  if (is_clip) return {path};
  const std::vector<std::string> videos = find_clips(path);
  if (videos.empty()) throw Error(concat(escaped(path), ": no video in this folder"), exit_code::kNoInput);
  return videos;
}

Prediction classify(Evaluator& evaluator, const std::string& file) {
  const Preprocessing& preprocessing = evaluator.classifier().description().preprocessing;
  const ClipOptions options = clip_options(preprocessing);
  const auto source = open_frames(file, source_options(preprocessing));
  const ClipPlan plan = plan_clip(source->frame_count(), source->size(), options, nullptr);
  const Tensor frames = Tensor::empty({1, options.frames, options.height, options.width, 3}, DType::u8);
  read_clip(*source, plan, frames.values<uint8_t>());
  return {file, predictions(evaluator.classifier().description(), evaluator(frames).values<float>())};
}

std::vector<size_t> top_classes(const std::vector<double>& probabilities, size_t count) {
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  order.resize(std::min(count, order.size()));
  return order;
}

int classify_files(const ClassifyOptions& options) {
  Classifier classifier = load(options);
  const ModelFile& model = classifier.description();
  if (options.top != 1 && model.head != Head::classification)
    throw Error(
        concat("--top is for classes, and the head of ", options.model, " is ", name_of(model.head), "; leave it out"),
        exit_code::kUsage);
  Evaluator evaluator(classifier);
  int code = exit_code::kOk;
  const auto guarded = [&](const auto& work) {
    try {
      work();
    } catch (const Error& error) {
      print_err(fmt::format("engine_predict: error: {}\n", error.what()));
      if (code == exit_code::kOk) code = error.code();
    }
  };
  std::vector<std::string> files;
  for (const std::string& path : options.paths)
    guarded([&] { std::ranges::copy(videos_at(path), std::back_inserter(files)); });
  const auto top = static_cast<size_t>(options.top);
  const Table table(files, model);
  if (!options.json && !files.empty()) table.header();
  for (const std::string& file : files) {
    guarded([&] {
      const Prediction prediction = classify(evaluator, file);
      options.json ? print_object(prediction, model, top) : table.rows(prediction, top);
    });
  }
  return code;
}

int evaluate_data(const EvaluateOptions& options) {
  Classifier classifier = load(options);
  SplitOptions split;
  split.val_fraction = options.val_fraction;
  split.seed = classifier.description().seed;
  split.head = classifier.description().head;
  split.split_number = options.split_number;
  const Splits splits = open_splits(options.data, split);
  std::string name;
  const Dataset& part = chosen_part(splits, options.split, name);
  check_classes(classifier, part, options.model);
  LoaderOptions loading = evaluation_loader(classifier.description().preprocessing, options.workers);
  loading.index = prepare_index(options.data, splits);
  Loader clips(part, loading);
  const Evaluation evaluation = evaluate(classifier, clips);
  print_err(left_out_clips(clips.stats(), part));
  if (options.json) {
    print_out(metrics_json(name, evaluation, classifier.classes()) + "\n");
    return exit_code::kOk;
  }
  std::string text = fmt::format("{} clips: {}\nloss: {:.4f}\n", name, evaluation.samples, evaluation.loss);
  for (const Figure& each : evaluation.figures)
    text += std::isnan(each.value)                ? fmt::format("{}: -\n", each.title)
            : each.kind == Figure::Kind::quantity ? fmt::format("{}: {:.6g}\n", each.title, each.value)
                                                  : fmt::format("{}: {:.4f}\n", each.title, each.value);
  text += fmt::format("\n{}", output_table(evaluation, classifier.classes()));
  if (evaluation.head == Head::classification)
    text += fmt::format("\n{}", confusion_table(evaluation, classifier.classes()));
  print_out(text);
  return exit_code::kOk;
}

}  // namespace engine
