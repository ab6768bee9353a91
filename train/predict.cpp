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
#include "train/short_videos.h"

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

// Columns: file, of windows frames and seconds, class, probability; or target, value; or label, probability.
class Table {
 public:
  Table(const std::vector<std::string>& files, const ModelFile& model)
      : model_(model),
        title_(output_word(model.head)),
        file_width_(widest("file", files)),
        name_width_(widest(title_, model.classes)) {}
  void header(bool windows) const {
    row(place("file", windows, "frames", "seconds"), title_, model_.head == Head::regression ? "value" : "probability");
  }
  void rows(const Prediction& prediction, size_t top) const {
    const std::vector<size_t> outputs = told(model_.head, prediction.values, top);
    const Window window = prediction.window.value_or(Window());
    const std::string seconds = window.begin ? fmt::format("{:.2f}-{:.2f}", *window.begin, *window.end) : "-";
    const std::string where = place(escaped(prediction.file), prediction.window.has_value(),
                                    fmt::format("{}-{}", window.first, window.last), seconds);
    if (outputs.empty()) row(where, "-", "-");
    for (const size_t i : outputs) {
      const double value = prediction.values[i];
      row(where, model_.classes[i],
          model_.head == Head::regression ? fmt::format("{:.6g}", value) : fmt::format("{:.4f}", value));
    }
  }

 private:
  std::string place(const std::string& file, bool window, const std::string& frames, const std::string& seconds) const {
    const std::string text = fmt::format("{:<{}}", file, file_width_);
    return window ? fmt::format("{}  {:<13}  {:<15}", text, frames, seconds) : text;
  }
  void row(const std::string& where, const std::string& name, const std::string& value) const {
    print_out(fmt::format("{}  {:<{}}  {}\n", where, escaped(name), name_width_, value));
  }

  const ModelFile& model_;
  std::string title_;
  size_t file_width_, name_width_;
};

void print_object(const Prediction& prediction, const ModelFile& model, size_t top) {
  using nlohmann::ordered_json;
  ordered_json object = {{"file", prediction.file}}, values = ordered_json::object(), names = ordered_json::array();
  if (const std::optional<Window>& window = prediction.window) {
    object.update({{"first_frame", window->first}, {"last_frame", window->last}});
    if (window->begin) object.update({{"begin", *window->begin}, {"end", *window->end}});
  }
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

// What the model says of a clip.
std::vector<double> seen(Evaluator& evaluator, FrameSource& source, const ClipPlan& plan) {
  const auto [width, height] = plan.view.size;
  const Tensor frames = Tensor::empty({1, std::ssize(plan.frames), height, width, 3}, DType::u8);
  read_clip(source, plan, frames.values<uint8_t>());
  return predictions(evaluator.classifier().description(), evaluator(frames).values<float>());
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

Prediction classify(Evaluator& evaluator, const std::string& file, const VideoIndex* index) {
  const Preprocessing& preprocessing = evaluator.classifier().description().preprocessing;
  const ClipOptions options = clip_options(preprocessing);
  const auto source = open_present(file, index, source_options(preprocessing));
  return {file, seen(evaluator, *source, plan_clip(clip_source(*source, options, file), options, nullptr))};
}

void classify_windows(Evaluator& evaluator, const std::string& file, const VideoIndex* index, int64_t hop,
                      const std::function<void(const Prediction&)>& tell) {
  const Preprocessing& preprocessing = evaluator.classifier().description().preprocessing;
  const ClipOptions options = clip_options(preprocessing);
  const auto source = open_present(file, index, source_options(preprocessing));
  const std::vector<double>& times = source->times();
  for (const ClipPlan& plan : plan_windows(clip_source(*source, options, file), options, hop)) {
    Window window{plan.frames.front(), std::ranges::max(plan.frames)};
    if (!times.empty())
      window.begin = times[static_cast<size_t>(window.first)], window.end = times[static_cast<size_t>(window.last)];
    tell({file, seen(evaluator, *source, plan), window});
  }
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
  std::vector<std::shared_ptr<const VideoIndex>> indices;  // of each file
  for (const std::string& path : options.paths)
    guarded([&] {
      const auto index = present_index(path);
      std::ranges::copy(videos_at(path), std::back_inserter(files));
      indices.resize(files.size(), index);
    });
  const auto top = static_cast<size_t>(options.top);
  const Table table(files, model);
  if (!options.json && !files.empty()) table.header(options.window > 0);
  const auto tell = [&](const Prediction& prediction) {
    options.json ? print_object(prediction, model, top) : table.rows(prediction, top);
  };
  for (size_t i = 0; i < files.size(); ++i) {
    guarded([&] {
      if (options.window > 0)
        classify_windows(evaluator, files[i], indices[i].get(), options.window, tell);
      else
        tell(classify(evaluator, files[i], indices[i].get()));
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
  Splits judged;
  const Dataset& part = judged.test = chosen_part(splits, options.split, name);
  check_classes(classifier, part, options.model);
  const Views views{options.clips, options.crops};
  LoaderOptions loading =
      evaluation_loader(classifier.description().preprocessing, options.workers, views.clips, views.crops);
  loading.index = prepare_index(options.data, splits);
  const ShortVideo policy = loading.clip.short_videos;
  if (policy == ShortVideo::skip || policy == ShortVideo::error)
    print_err(settle_short_videos(judged, loading.clip, loading.index.get()));
  Loader clips(part, loading);
  const ViewsEvaluation both = evaluate_views(classifier, clips);
  const Evaluation& evaluation = both.videos;
  print_err(left_out_clips(clips.stats(), part));
  if (options.json) {
    print_out(metrics_json(name, both, views, classifier.classes()) + "\n");
    return exit_code::kOk;
  }
  std::string text = views.count() == 1
                         ? fmt::format("{} clips: {}\n", name, evaluation.samples)
                         : fmt::format("{} videos: {}, {}\n{}\nOf videos, the means of their views:\n", name,
                                       evaluation.samples, to_text(views), single_views_line(both.views));
  text += fmt::format("loss: {:.4f}\n", evaluation.loss);
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
