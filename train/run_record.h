// Internal to train/: what a run's folder says of it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace engine {

// The lines of metrics.jsonl by kind, and the other files. What is missing or malformed is null or empty.
struct RunRecord {
  using Json = nlohmann::ordered_json;

  std::string folder, name;  // name: the folder's own
  Json start, end, profile;
  std::vector<Json> steps, epochs, warnings;
  Json judged;  // the test; before there is one, or where there is none, the validation of the best epoch so far
  Json environment, mistakes, training_clips;
  std::string config, command;
  double seconds = 0;  // that the run has taken

  // A file of the folder `pictures`; empty where it is missing.
  std::string picture(const std::string& file) const;
};
// Throws Error (kNoInput) when there is no metrics.jsonl, and (kData) when it has no line that begins a run.
RunRecord read_run(const std::string& folder);

// Members of objects whose values are of the type; else NaN, "", 0.
double number_in(const RunRecord::Json& object, const std::string& key);
std::string text_in(const RunRecord::Json& object, const std::string& key);
int64_t count_in(const RunRecord::Json& object, const std::string& key);
// The member, or null.
const RunRecord::Json& in(const RunRecord::Json& object, const std::string& key);

}  // namespace engine
