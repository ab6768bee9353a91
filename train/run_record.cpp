#include "train/run_record.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/tensor.h"
#include "io/text.h"
#include "train/mistakes.h"
#include "train/run_log.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

using Json = RunRecord::Json;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Json parsed(const std::string& text) {
  Json value = Json::parse(text, nullptr, false);
  return value.is_object() ? value : Json();
}

}  // namespace

const Json& in(const Json& object, const std::string& key) {
  static const Json kNull;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : kNull;
}

double number_in(const Json& object, const std::string& key) {
  const Json& value = in(object, key);
  return value.is_number() ? value.get<double>() : NAN;
}

std::string text_in(const Json& object, const std::string& key) {
  const Json& value = in(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

int64_t count_in(const Json& object, const std::string& key) {
  const Json& value = in(object, key);
  return value.is_number_integer() ? value.get<int64_t>() : 0;
}

std::string RunRecord::picture(const std::string& file) const {
  return file.empty() ? "" : read_file(fs::path(folder) / kPictures / fs::path(file).filename());
}

RunRecord read_run(const std::string& folder) {
  const fs::path place = fs::path(folder);
  std::error_code ignored;
  if (!fs::is_regular_file(place / kMetricsFile, ignored))
    throw Error(concat(escaped(folder), ": no ", kMetricsFile,
                       " in it; give the folder of a run, as engine_train --out has it"),
                exit_code::kNoInput);
  RunRecord run;
  run.folder = folder;
  run.name = fs::weakly_canonical(place, ignored).filename().string();
  std::ifstream lines(place / kMetricsFile, std::ios::binary);
  for (std::string each; std::getline(lines, each);) {
    Json line = parsed(each);
    const std::string kind = text_in(line, "kind");
    if (const double t = number_in(line, "t"); t > run.seconds) run.seconds = t;
    if (kind == "start") run.start = line;
    if (kind == "step") run.steps.push_back(line);
    if (kind == "epoch") run.epochs.push_back(line);
    if (kind == "warning") run.warnings.push_back(line);
    if (kind == "eval" || kind == "test") run.judged = line;
    if (kind == "profile") run.profile = line;
    if (kind == "end") run.end = line;
  }
  if (run.start.is_null())
    throw Error(concat(escaped((place / kMetricsFile).string()), ": damaged, or not of a run: no line of kind start"),
                exit_code::kData);
  run.environment = parsed(read_file(place / "environment.json"));
  run.mistakes = parsed(read_file(place / kMistakesFile));
  run.training_clips = Json::parse(read_file(place / kTrainingClipsFile), nullptr, false);
  run.config = read_file(place / "config.toml");
  run.command = read_file(place / "command.txt");
  return run;
}

}  // namespace engine
