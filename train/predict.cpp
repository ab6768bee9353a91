#include "train/predict.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "io/dataset.h"
#include "io/text.h"
#include "train/data_options.h"
#include "train/output.h"
#include "train/report.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

bool holds_images(const fs::path& folder) {
  std::error_code error;
  return std::ranges::any_of(fs::directory_iterator(folder, error),
                             [](const auto& entry) { return is_image_name(entry.path().filename().string()); });
}

void collect_videos(const fs::path& folder, std::vector<std::string>& videos) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (!is_hidden(entry.path())) entries.push_back(entry.path());
  if (error) throw Error(concat(folder.string(), ": ", error.message()), exit_code::kNoInput);
  std::ranges::sort(entries);
  for (const fs::path& path : entries) {
    if (!fs::is_directory(path)) {
      if (is_video_name(path.filename().string())) videos.push_back(path.string());
    } else if (holds_images(path)) {
      videos.push_back(path.string());
    } else {
      collect_videos(path, videos);
    }
  }
}

size_t widest(const std::string& title, const std::vector<std::string>& texts) {
  size_t width = title.size();
  for (const std::string& text : texts) width = std::max(width, escaped(text).size());
  return width;
}

// Columns: file, class, probability.
class Table {
 public:
  Table(const std::vector<std::string>& files, const std::vector<std::string>& classes)
      : file_width_(widest("file", files)), class_width_(widest("class", classes)) {}
  void header() const { row("file", "class", "probability"); }
  void row(const std::string& file, const std::string& name, const std::string& probability) const {
    print_out(
        fmt::format("{:<{}}  {:<{}}  {}\n", escaped(file), file_width_, escaped(name), class_width_, probability));
  }

 private:
  size_t file_width_, class_width_;
};

void print_object(const Prediction& prediction, const std::vector<std::string>& classes, size_t top) {
  nlohmann::ordered_json ranked = nlohmann::ordered_json::array();
  for (const size_t label : top_classes(prediction.probabilities, top))
    ranked.push_back({{"class", classes[label]}, {"probability", prediction.probabilities[label]}});
  const nlohmann::ordered_json object = {{"file", prediction.file},
                                         {"class", ranked[0]["class"]},
                                         {"probability", ranked[0]["probability"]},
                                         {"top", ranked}};
  print_out(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
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
  throw Error(concat("checkpoint '", model, "' knows the classes ", listed(classifier.classes()), ", the data have ",
                     listed(data.classes), "; use data with the same classes"),
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
  if (!fs::is_directory(path, ignored) || holds_images(path)) return {path};
  std::vector<std::string> videos;
  collect_videos(path, videos);
  if (videos.empty()) throw Error(concat(escaped(path), ": no video in this folder"), exit_code::kNoInput);
  return videos;
}

Prediction classify(Evaluator& evaluator, const std::string& file) {
  const ClipOptions options = clip_options(evaluator.classifier().description().preprocessing);
  const auto source = open_frames(file);
  const ClipPlan plan = plan_clip(source->frame_count(), source->size(), options, nullptr);
  const Tensor frames = Tensor::empty({1, options.frames, options.height, options.width, 3}, DType::u8);
  read_clip(*source, plan, frames.values<uint8_t>());
  return {file, class_probabilities(evaluator(frames).values<float>())};
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
  const std::vector<std::string>& classes = classifier.classes();
  const Table table(files, classes);
  if (!options.json && !files.empty()) table.header();
  for (const std::string& file : files) {
    guarded([&] {
      const Prediction prediction = classify(evaluator, file);
      if (options.json) return print_object(prediction, classes, top);
      for (const size_t label : top_classes(prediction.probabilities, top))
        table.row(file, classes[label], fmt::format("{:.4f}", prediction.probabilities[label]));
    });
  }
  return code;
}

int evaluate_data(const EvaluateOptions& options) {
  Classifier classifier = load(options);
  SplitOptions split;
  split.val_fraction = options.val_fraction;
  split.seed = classifier.description().seed;
  const Splits splits = open_splits(options.data, split);
  std::string name;
  const Dataset& part = chosen_part(splits, options.split, name);
  check_classes(classifier, part, options.model);
  Loader clips(part, evaluation_loader(classifier.description().preprocessing, options.workers));
  const Metrics metrics = evaluate(classifier, clips);
  print_err(left_out_clips(clips.stats(), part));
  if (options.json) {
    print_out(metrics_json(name, metrics, classifier.classes()) + "\n");
    return exit_code::kOk;
  }
  print_out(fmt::format("{} clips: {}\nloss: {:.4f}\naccuracy: {:.4f}\nmean class recall: {:.4f}\n\n{}\n{}", name,
                        metrics.samples(), metrics.loss(), metrics.accuracy(), metrics.mean_recall(),
                        class_table(metrics, classifier.classes()), confusion_table(metrics, classifier.classes())));
  return exit_code::kOk;
}

}  // namespace engine
