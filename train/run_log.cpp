#include "train/run_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "io/atomic_file.h"
#include "io/text.h"
#include "io/video.h"
#include "train/confusion.h"
#include "train/environment.h"
#include "train/head.h"
#include "train/html_report.h"
#include "train/output.h"
#include "train/roofline.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMostInConfusion = 100;  // classes
constexpr int64_t kEveryStep = 1000, kEveryTenth = 10'000;

bool is_logged(int64_t step) { return step % (step <= kEveryStep ? 1 : step <= kEveryTenth ? 10 : 100) == 0; }

ordered_json number(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr); }

bool has_null(const ordered_json& value) {
  if (!value.is_structured()) return value.is_null();
  return std::ranges::any_of(value, has_null);
}

std::string finished(ordered_json object, double seconds) {
  if (has_null(object)) object["nan"] = true;
  object["t"] = seconds;
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json facts_json(const RunFacts& facts) {
  const ModelFile& model = *facts.model;
  const Preprocessing& p = model.preprocessing;
  ordered_json options = ordered_json::object();
  for (const auto& [key, value] : model.model_options)
    if (key != "description") options[key] = value;
  return {{"kind", "start"},
          {"model", model.model},
          {"model_options", options},
          {"head", name_of(model.head)},
          {"outputs", model.classes},
          {"parameters", facts.parameters},
          {"input",
           {{"frames", p.frames},
            {"width", p.width},
            {"height", p.height},
            {"what", p.input},
            {"sampling", p.sampling},
            {"stride", p.stride},
            {"fps", p.fps},
            {"mean", p.mean},
            {"deviation", p.deviation}}},
          {"data", facts.data},
          {"split", facts.split},
          {"clips", {{"train", facts.train}, {"val", facts.val}, {"test", facts.test}}},
          {"epochs", facts.epochs},
          {"steps_per_epoch", facts.steps_per_epoch},
          {"batch", facts.batch},
          {"seed", model.seed},
          {"device", facts.device},
          {"threads", facts.threads}};
}

std::string labels_text(const Dataset& dataset, const Sample& sample) {
  if (dataset.head == Head::classification) return dataset.classes[static_cast<size_t>(sample.label)];
  std::string text;
  for (size_t i = 0; i < sample.targets.size(); ++i)
    if (dataset.head == Head::regression)
      text += fmt::format("{}{} {:.4g}", text.empty() ? "" : ", ", dataset.classes[i], sample.targets[i]);
    else if (sample.targets[i] > 0)
      text += (text.empty() ? "" : ", ") + dataset.classes[i];
  return text.empty() ? "none" : text;
}

// Whether a line stays in the file of a run that goes on.
bool stays(const ordered_json& line, const RunLog::Reached& reached) {
  const auto kind = line.value("kind", "");
  if (kind == "step" || kind == "checkpoint") return line.value("step", int64_t{0}) <= reached.steps;
  if (kind == "epoch" || kind == "eval" || kind == "warning") return line.value("epoch", int64_t{0}) <= reached.epochs;
  return false;  // start is written again, test and end come again
}

void remove_logs(const std::string& folder) {
  std::error_code ignored;
  for (const char* name : {kMetricsFile, "environment.json", "command.txt", kReportFile, "confusion.csv"})
    fs::remove(fs::path(folder) / name, ignored);
  fs::remove_all(fs::path(folder) / kPictures, ignored);
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) fs::remove(entry.path(), ignored);
}

// The lines that stay; `last`: the time that the last of them tells; `checkpoint`: the step of the last one told.
std::string kept_lines(const std::string& path, const RunLog::Reached& reached, double& last, int64_t& checkpoint) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  for (std::string each; std::getline(file, each);) {
    const ordered_json line = ordered_json::parse(each, nullptr, false);
    if (!line.is_object() || file.eof() || !stays(line, reached)) continue;
    text += each + "\n";
    last = line.value("t", last);
    if (line.value("kind", "") == "checkpoint") checkpoint = line.value("step", int64_t{0});
  }
  return text;
}

}  // namespace

template <class Work>
void RunLog::try_to(const Work& work) {
  try {
    work();
  } catch (const std::exception& error) {
    if (!std::exchange(told_, true))
      print_err(concat("warning: ", error.what(), "; the run goes on, and its log has gaps\n"));
  }
}

RunLog::RunLog(std::string folder, const std::optional<Reached>& reached) : folder_(std::move(folder)) {
  if (!reached) remove_logs(folder_);
  try_to([&] {
    if (reached) kept_ = kept_lines(folder_ + "/" + kMetricsFile, *reached, before_, checkpoint_);
    events_.emplace(folder_);
  });
}

RunLog::~RunLog() {
  events_.reset();
  if (steps_ == 0 && kept_.empty()) remove_logs(folder_);
}

double RunLog::seconds() const {
  return before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
}

// A run that goes on writes its first line as an undisturbed one has it, and then those that stay.
void RunLog::start(const RunFacts& facts) {
  ordered_json first = facts_json(facts);
  first["time"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  const std::string text = finished(first, 0) + kept_;
  try_to([&] {
    write_file_atomically(folder_ + "/" + kMetricsFile, text);
    bytes_ = static_cast<int64_t>(text.size());
  });
  file("environment.json", environment_json(facts.device, facts.threads));
  file("command.txt", command_line() + "\n");
}

void RunLog::line(const std::string& text) {
  try_to([&] {
    const std::string path = folder_ + "/" + kMetricsFile;
    std::ofstream file(path, std::ios::binary | std::ios::app);
    if (file << text << std::flush) {
      bytes_ += static_cast<int64_t>(text.size());
      return;
    }
    const std::string reason = std::generic_category().message(errno);
    file.close();
    // Half a line would spoil the one behind it, too.
    std::error_code ignored;
    fs::resize_file(path, static_cast<uintmax_t>(bytes_), ignored);
    throw Error(concat("cannot write '", escaped(path), "': ", reason), exit_code::kStorage);
  });
}

void RunLog::step(const StepReport& report) {
  ++steps_;
  if (!is_logged(report.result.step)) return;
  line(finished({{"kind", "step"},
                 {"epoch", report.epoch},
                 {"step", report.result.step},
                 {"loss", number(report.result.loss)},
                 {"learning_rate", report.result.learning_rate},
                 {"skipped", report.result.skipped}},
                seconds()));
  try_to([&] {
    if (!events_) return;
    if (!report.result.skipped) events_->scalar(report.result.step, "train/loss", report.result.loss);
    events_->scalar(report.result.step, "train/learning_rate", report.result.learning_rate);
  });
}

void RunLog::epoch(const EpochReport& report, const LoaderStats& loading, int64_t step,
                   const std::vector<NamedTensor>& parameters, const std::vector<std::string>& names) {
  const Evaluation& found = report.validation;
  ordered_json object = ordered_json::parse(epoch_json(report, loading));
  object["step"] = step;
  line(finished(object, seconds()));
  if (report.best && found.samples > 0) {
    ordered_json judged = ordered_json::parse(metrics_json("eval", found, names));
    judged.update({{"epoch", report.epoch}, {"step", step}});
    if (found.confusion.size() > kMostInConfusion) judged.erase("confusion");
    line(finished(judged, seconds()));
  }
  try_to([&] {
    if (!events_) return;
    events_->scalar(step, "train/loss_of_epoch", report.train_loss);
    events_->scalar(step, "train/clips_per_second", report.clips_per_second);
    events_->scalar(step, "train/waiting_share", loading.wait_seconds / std::max(report.seconds, 1e-9));
    if (found.samples > 0) {
      events_->scalar(step, "val/loss", found.loss);
      for (const Figure& each : found.figures) events_->scalar(step, "val/" + each.key, each.value);
    }
    for (const NamedTensor& each : parameters) {
      const Tensor values = each.tensor.to(kCpu);
      if (values.dtype() == DType::f32) events_->histogram(step, "parameters/" + each.name, values.values<float>());
    }
  });
  if (report.best) confusion_of("val", found, names, step);
}

void RunLog::confusion_of(const std::string& part, const Evaluation& evaluation, const std::vector<std::string>& names,
                          int64_t step) {
  if (evaluation.samples == 0 || evaluation.confusion.empty() || !video_available()) return;
  picture(concat("confusion-", part, ".png"), confusion_picture(evaluation, names), step, part + "/confusion");
}

void RunLog::checkpoint(int64_t step, const std::string& name) {
  if (std::exchange(checkpoint_, step) == step) return;
  line(finished({{"kind", "checkpoint"}, {"step", step}, {"file", name}}, seconds()));
}

void RunLog::warning(int64_t step, int64_t epoch, const std::string& text) {
  line(finished({{"kind", "warning"}, {"epoch", epoch}, {"step", step}, {"text", text}}, seconds()));
}

void RunLog::profile(const Roofline& roofline) {
  ordered_json told = {{"kind", "profile"}};
  told.update(to_json(roofline));
  line(finished(told, seconds()));
  ++steps_;  // so that the run stays
}

void RunLog::test(const ViewsEvaluation& evaluation, const Views& views, int64_t epoch, int64_t step,
                  const std::vector<std::string>& names) {
  ordered_json judged = ordered_json::parse(metrics_json("test", evaluation, views, names));
  judged.update({{"epoch", epoch}, {"step", step}});
  line(finished(judged, seconds()));
  try_to([&] {
    if (!events_) return;
    events_->scalar(step, "test/loss", evaluation.videos.loss);
    for (const Figure& each : evaluation.videos.figures) events_->scalar(step, "test/" + each.key, each.value);
  });
  confusion_of("test", evaluation.videos, names, step);
}

void RunLog::clips(const Batch& batch, const Dataset& dataset) {
  constexpr int64_t kMost = 4;
  if (!video_available()) return;
  const int64_t count = std::min(kMost, batch.frames.size(0));
  const Shape shape(batch.frames.shape().begin() + 1, batch.frames.shape().end());
  ordered_json shown = ordered_json::array();
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = fmt::format("training-{}", i + 1);
    picture(name + ".png", film_strip(batch.frames.slice(i, i + 1).reshape(shape)), 0, "train/" + name);
    const auto item = static_cast<size_t>(batch.items[static_cast<size_t>(i)]);
    shown.push_back({{"label", labels_text(dataset, dataset.samples[item])}, {"picture", name + ".png"}});
  }
  file(kTrainingClipsFile, shown.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

void RunLog::report() {
  constexpr double kShare = 20;
  const double begin = seconds();
  if (begin - reported_ < kShare * report_seconds_) return;
  try_to([&] { write_report(folder_); });
  reported_ = seconds();
  report_seconds_ = reported_ - begin;
}

void RunLog::end(const std::string& state, const std::string& why) {
  ordered_json object = {{"kind", "end"}, {"state", state}};
  if (!why.empty()) object["why"] = why;
  line(finished(object, seconds()));
  report_seconds_ = 0;
  report();
}

void RunLog::picture(const std::string& name, const RgbImage& picture, int64_t step, const std::string& tag) {
  try_to([&] {
    fs::create_directories(fs::path(folder_) / kPictures);
    const std::string png = save_picture((fs::path(folder_) / kPictures / name).string(), picture);
    if (events_ && !tag.empty()) events_->image(step, tag, picture.size, png);
  });
}

void RunLog::file(const std::string& name, const std::string& text) {
  try_to([&] {
    fs::create_directories((fs::path(folder_) / name).parent_path());
    write_file_atomically(folder_ + "/" + name, text);
  });
}

}  // namespace engine
