#include "train/classify.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/text.h"
#include "train/head.h"
#include "train/output.h"
#include "train/predict_options.h"
#include "train/profile_videos.h"

namespace engine {
namespace {

constexpr const char* kExamples = R"(Examples:
  engine_predict classify best.safetensors new.mp4 --top 3
  engine_predict classify best.safetensors folder list.txt --format csv
  engine_predict classify best.safetensors long.mp4 --window 8 --join     what happens when
  engine_predict classify best.safetensors long.mp4 --format srt > long.srt)";

// Tells predictions in one format, `segment` with those that are one.
class Teller {
 public:
  virtual ~Teller() = default;
  virtual void header(bool) {}
  virtual void tell(const Prediction& prediction, const Segment* segment) = 0;
};

size_t widest(const std::string& title, const std::vector<std::string>& texts) {
  size_t width = title.size();
  for (const std::string& text : texts) width = std::max(width, escaped(text).size());
  return width;
}

// Columns: file, of windows frames and seconds, class, probability; or target, value; or label, probability.
class Table : public Teller {
 public:
  Table(const std::vector<std::string>& files, const ModelFile& model, size_t top)
      : model_(model),
        top_(top),
        title_(output_word(model.head)),
        file_width_(widest("file", files)),
        name_width_(widest(title_, model.classes)) {}
  void header(bool windows) override {
    row(place("file", windows, "frames", "seconds"), title_, model_.head == Head::regression ? "value" : "probability");
  }
  void tell(const Prediction& prediction, const Segment*) override {
    const std::vector<size_t> outputs = told_outputs(model_.head, prediction.values, top_);
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
  size_t top_;
  std::string title_;
  size_t file_width_, name_width_;
};

class JsonLines : public Teller {
 public:
  JsonLines(const ModelFile& model, size_t top) : model_(model), top_(top) {}
  void tell(const Prediction& prediction, const Segment* segment) override {
    using nlohmann::ordered_json;
    ordered_json object = {{"file", prediction.file}}, values = ordered_json::object(), names = ordered_json::array();
    if (const std::optional<Window>& window = prediction.window) {
      object.update({{"first_frame", window->first}, {"last_frame", window->last}});
      if (window->begin) object.update({{"begin", *window->begin}, {"end", *window->end}});
    }
    if (segment) object["windows"] = segment->windows;
    for (size_t i = 0; i < model_.classes.size(); ++i) values[model_.classes[i]] = prediction.values[i];
    for (const size_t i : told_outputs(model_.head, prediction.values, top_))
      names.push_back(model_.head == Head::classification
                          ? ordered_json{{"class", model_.classes[i]}, {"probability", prediction.values[i]}}
                          : ordered_json(model_.classes[i]));
    if (model_.head == Head::classification) {
      object.update(names[0]);
      object["top"] = names;
    } else if (model_.head == Head::regression) {
      object["targets"] = values;
    } else {
      object["labels"] = names;
      object["probabilities"] = values;
    }
    print_out(object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
  }

 private:
  const ModelFile& model_;
  size_t top_;
};

class Csv : public Teller {
 public:
  Csv(const ModelFile& model, size_t top) : model_(model), top_(top) {}
  void header(bool windows) override {
    print_out(fmt::format("file,{}{},{}\r\n", windows ? "first_frame,last_frame,begin,end," : "",
                          output_word(model_.head), model_.head == Head::regression ? "value" : "probability"));
  }
  void tell(const Prediction& prediction, const Segment*) override {
    std::string where = csv_cell(prediction.file);
    if (const std::optional<Window>& window = prediction.window) {
      where += fmt::format(",{},{},", window->first, window->last);
      where += window->begin ? fmt::format("{:.6f},{:.6f}", *window->begin, *window->end) : ",";
    }
    const std::vector<size_t> outputs = told_outputs(model_.head, prediction.values, top_);
    if (outputs.empty()) print_out(where + ",,\r\n");
    for (const size_t i : outputs)
      print_out(fmt::format("{},{},{}\r\n", where, csv_cell(model_.classes[i]), prediction.values[i]));
  }

 private:
  const ModelFile& model_;
  size_t top_;
};

void check(const ClassifyOptions& options, Head head) {
  const auto refuse = [](const std::string& why) { throw Error(why, exit_code::kUsage); };
  if (options.top != 1 && head != Head::classification)
    refuse(
        concat("--top is for classes, and the head of ", options.model.path, " is ", name_of(head), "; leave it out"));
  if (options.profile > 0 && options.format != "table" && options.format != "jsonl")
    refuse("--profile tells a table or, with --json, an object; leave out --format");
  if (options.profile == 0 && !options.trace.empty()) refuse("--trace is of --profile; give --profile N as well");
  if (options.join && options.window == 0) refuse("--join is of windows; give --window as well");
  if (options.join && head == Head::regression)
    refuse("--join is for classes and labels, not for numbers; leave it out");
  if (!options.out.empty() && options.format != "srt")
    refuse("--out is for --format srt; the other formats go to standard output");
}

std::unique_ptr<Teller> make_teller(const ClassifyOptions& options, const VideoFiles& files, const ModelFile& model) {
  const auto top = static_cast<size_t>(options.top);
  if (options.format == "jsonl") return std::make_unique<JsonLines>(model, top);
  if (options.format == "csv") return std::make_unique<Csv>(model, top);
  return std::make_unique<Table>(files.names(), model, top);
}

std::vector<Segment> segments_of(Evaluator& evaluator, const std::string& file, const VideoIndex* index, int64_t hop) {
  SegmentJoiner joiner(evaluator.classifier().description().head);
  classify_windows(evaluator, file, index, hop, [&](const Prediction& window) { joiner.add(window); });
  return joiner.segments();
}

int write_subtitles(const ClassifyOptions& options, Evaluator& evaluator, VideoFiles& files) {
  const ModelFile& model = evaluator.classifier().description();
  if (options.out.empty() && files.names().size() > 1)
    throw Error(concat("subtitles are of one video, and here are ", files.names().size(), "; give --out FOLDER"),
                exit_code::kUsage);
  if (!options.out.empty()) make_folder(options.out);
  const int64_t hop = options.window > 0 ? options.window : model.preprocessing.frames;
  std::vector<std::string> taken;
  files.for_each([&](const std::string& file, const VideoIndex* index) {
    const std::string text = to_srt(segments_of(evaluator, file, index, hop), model, static_cast<size_t>(options.top));
    if (options.out.empty()) return print_out(text);
    const std::string path = file_beside(options.out, file, ".srt", taken);
    write_file_atomically(path, text);
    print_out(path + "\n");
  });
  return files.code();
}

}  // namespace

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

int classify_files(const ClassifyOptions& options) {
  Classifier classifier = open_model(options.model);
  check(options, classifier.description().head);
  Evaluator evaluator(classifier);
  VideoFiles files(options.paths);
  if (options.profile > 0)
    return profile_videos(evaluator, files, options.profile, options.format == "jsonl", options.trace);
  if (options.format == "srt") return write_subtitles(options, evaluator, files);
  const auto teller = make_teller(options, files, classifier.description());
  if (!files.names().empty()) teller->header(options.window > 0);
  files.for_each([&](const std::string& file, const VideoIndex* index) {
    const auto tell = [&](const Prediction& prediction) { teller->tell(prediction, nullptr); };
    if (options.join)
      for (const Segment& segment : segments_of(evaluator, file, index, options.window))
        teller->tell(segment.prediction, &segment);
    else if (options.window > 0)
      classify_windows(evaluator, file, index, options.window, tell);
    else
      tell(classify(evaluator, file, index));
  });
  return files.code();
}

Subcommand declare_classify(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "classify", "Tells the class of videos, or their numbers or labels, as the model's head has them");
  command->footer(kExamples);
  const auto options = std::make_shared<ClassifyOptions>();
  declare_model(*command, options->model);
  declare_videos(*command, options->paths);
  const auto count = CLI::Range(int64_t{1}, int64_t{1000000});
  command->add_option("--top", options->top, "How many classes to tell of each video (default 1)")
      ->type_name("K")
      ->check(count);
  command
      ->add_option("--window", options->window, "Tell of every window as long as a clip, N frames after the one before")
      ->type_name("N")
      ->check(count);
  command->add_flag("--join", options->join, "Join windows that say the same");
  command
      ->add_option("--format", options->format, "table (the default), jsonl, csv, or srt: subtitles of joined windows")
      ->type_name("NAME")
      ->check(CLI::IsMember({"table", "jsonl", "csv", "srt"}));
  command->add_flag_callback(
      "--json", [format = &options->format] { *format = "jsonl"; }, "As --format jsonl");
  command->add_option("-o,--out", options->out, "Of subtitles: a folder for a file per video")->type_name("FOLDER");
  command
      ->add_option("--profile", options->profile,
                   "Tell where the time of N clips goes, layer by layer, instead of what they show")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{10000}));
  command->add_option("--trace", options->trace, "Of --profile: write every op for ui.perfetto.dev: FILE.json")
      ->type_name("FILE");
  return {command, [options] { return classify_files(*options); }};
}

}  // namespace engine
