#include "train/data_tools.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <limits>

#include "engine/tensor.h"
#include "io/for_all.h"
#include "io/list_file.h"
#include "io/text.h"
#include "train/head.h"
#include "train/predict.h"
#include "train/signals.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

Splits without_labels(const std::string& path, const std::vector<std::string>& clips, const std::string& how) {
  Splits splits;
  splits.train.source = path;
  for (const std::string& clip : clips) {
    const fs::path shown = fs::path(clip).lexically_relative(path);
    const bool below = !shown.empty() && *shown.begin() != ".." && shown != ".";
    splits.train.samples.push_back({clip, 0, escaped(below ? shown.string() : clip)});
  }
  splits.how = how;
  return splits;
}

// Whether most lines of a list are paths and nothing else.
bool has_paths_alone(const std::string& list) {
  const fs::path folder = fs::path(list).parent_path();
  const std::vector<ListEntry> entries = read_list(list, LabelColumn::none);
  const auto there = [&](const ListEntry& entry) {
    std::error_code error;
    return fs::exists(folder / entry.path, error);
  };
  return 2 * std::ranges::count_if(entries, there) > std::ssize(entries);
}

}  // namespace

void declare_data(CLI::App& command, DataChoice& choice) {
  command.add_option("DATA", choice.path, "What engine_train takes; or a folder or list of videos, or a video")
      ->required();
  std::vector<std::string> words;
  for (const auto& [word, head] : kHeadNames) words.push_back(word);
  const auto assign = [&choice](const std::string& word) {
    for (const auto& [name, head] : kHeadNames)
      if (name == word) choice.head = head;
  };
  command.add_option_function<std::string>("--head", assign, "What the labels of a list are (default classification)")
      ->type_name("NAME")
      ->check(CLI::IsMember(words));
  command.add_option("--split-number", choice.split_number, "Which split of data sets that come with several")
      ->check(CLI::Range(1, 99));
  command.add_option("--threads", choice.threads, "Clips looked at at a time; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

Splits open_data(const DataChoice& choice, std::vector<std::string>* problems) {
  std::error_code error;
  const bool folder = fs::is_directory(choice.path, error);
  if (!folder && !is_list_name(choice.path)) return without_labels(choice.path, videos_at(choice.path), "one video");
  const SplitOptions options{
      .val_fraction = 0, .head = choice.head, .split_number = choice.split_number, .problems = problems};
  try {
    return open_splits(choice.path, options);
  } catch (const Error& refused) {
    const bool labelled = folder ? fs::exists(fs::path(choice.path) / "train.txt") : !has_paths_alone(choice.path);
    if (labelled || refused.code() != exit_code::kData) throw;
    if (problems) problems->clear();
    const std::vector<std::string> clips = videos_at(choice.path);
    return without_labels(choice.path, clips,
                          folder ? concat("all videos in the folder, without labels, for they are not sorted into "
                                          "classes (",
                                          refused.what(), ")")
                                 : "a list of videos without labels");
  }
}

std::vector<Clip> clips_of(const Splits& splits) {
  std::vector<Clip> clips;
  for (const auto& [part, name] : {std::pair(&splits.train, "train"), {&splits.val, "val"}, {&splits.test, "test"}})
    for (const Sample& sample : part->samples) clips.push_back({part, &sample, name});
  return clips;
}

std::string place_of(const Clip& clip) {
  const Sample& sample = *clip.sample;
  return sample.line > 0 ? concat(escaped(clip.part->source), ":", sample.line, ": ", sample.name) : sample.name;
}

Bar::Bar(const std::string& label)
    : label_(label), progress_(isatty(STDERR_FILENO) == 1 ? ProgressMode::automatic : ProgressMode::none) {}
Bar::Bar(const std::string& label, ProgressMode mode) : label_(label), progress_(mode) {}

bool Bar::operator()(int64_t done, int64_t total) {
  if (done == 1) progress_.start(label_, total);
  progress_.update(done, done, std::numeric_limits<double>::quiet_NaN());
  if (done == total) progress_.finish();
  return StopSignals::received() == 0;
}

void for_each(size_t count, int threads, const std::string& what, const std::function<void(size_t)>& work) {
  const StopSignals signals;
  Bar bar("Looking");
  const auto total = static_cast<int64_t>(count);
  const int64_t done = for_all(
      total, threads, [&](int64_t i) { work(static_cast<size_t>(i)); },
      [&](int64_t so_far) { return bar(so_far, total) || so_far == total; });
  if (done < total)
    throw Error(fmt::format("stopped with {} of {} {} done", done, count, what),
                stop_exit_code(StopSignals::received()));
}

std::string counted(size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace engine
