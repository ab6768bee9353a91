#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "io/clip.h"
#include "io/text.h"
#include "train/head.h"

namespace engine {
namespace {

using nlohmann::json;

constexpr int kFormat = 1;
constexpr int64_t kMaxExtent = 1'000'000;  // of frames, stride, height and width, and of fps
constexpr size_t kShown = 80;              // bytes of an entry in a message
constexpr size_t kListed = 5;              // differences in a message

[[noreturn]] void refuse(const std::string& where, const std::string& why) {
  throw Error(where + ": " + why, exit_code::kCheckpoint);
}

std::string number_text(double value) {
  std::array<char, 32> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end};
}

// JSON of nested lists would take far more memory than its text; ours is flat. Keys that appear twice are refused.
json parse_json(const std::string& text, const std::string& key, const std::string& where) {
  std::set<std::string> keys;
  const auto check = [&](int depth, json::parse_event_t event, const json& value) {
    const bool opens = event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    if (opens && depth > 1) refuse(where, concat("metadata '", key, "' is nested too deep"));
    if (event == json::parse_event_t::key && !keys.insert(value.get<std::string>()).second)
      refuse(where, concat("metadata '", key, "' has an entry twice"));
    return true;
  };
  try {
    return json::parse(text, check);
  } catch (const json::exception&) {
    refuse(where, concat("metadata '", key, "' is not JSON: '", escaped(text, kShown), "'"));
  }
}

// The entries of metadata, each of the type it must have.
class Metadata {
 public:
  Metadata(const std::map<std::string, std::string>& entries, const std::string& where)
      : entries_(entries), where_(where) {}

  const std::string& text(const std::string& key) const {
    const auto found = entries_.find(key);
    if (found == entries_.end()) refuse(where_, concat("metadata has no '", key, "'"));
    return found->second;
  }

  template <class Number>
  Number number(const std::string& key) const {
    const std::string& digits = text(key);
    Number value{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) bad(key);
    if constexpr (std::is_floating_point_v<Number>)
      if (!std::isfinite(value)) bad(key);
    if constexpr (std::is_integral_v<Number>)
      if (value < Number{0}) bad(key);
    return value;
  }

  json parsed(const std::string& key) const { return parse_json(text(key), key, where_); }

  [[noreturn]] void bad(const std::string& key) const {
    refuse(where_, concat("metadata '", key, "' is '", escaped(text(key), kShown), "'"));
  }

 private:
  const std::map<std::string, std::string>& entries_;
  const std::string& where_;
};

// What is as in most files, and was not told by the first ones, is left out.
json to_json(const Preprocessing& p) {
  json fields = {{"frames", p.frames}, {"stride", p.stride}, {"sampling", p.sampling}, {"height", p.height},
                 {"width", p.width},   {"input", p.input},   {"mean", p.mean},         {"deviation", p.deviation}};
  if (p.untagged != Preprocessing().untagged) fields["untagged"] = p.untagged;
  if (p.rgb_first) fields["rgb_first"] = true;
  if (p.fps != 0) fields["fps"] = p.fps;
  if (p.short_videos != Preprocessing().short_videos) fields["short"] = p.short_videos;
  if (p.sar) fields["sar"] = true;
  return fields;
}

bool is_valid(const Preprocessing& p) {
  for (const int64_t extent : {p.frames, p.stride, p.height, p.width})
    if (extent < 1 || extent > kMaxExtent) return false;
  for (size_t i = 0; i < p.mean.size(); ++i)
    if (!std::isfinite(p.mean[i]) || !std::isfinite(p.deviation[i]) || p.deviation[i] <= 0) return false;
  if (p.untagged != "601" && p.untagged != "709" && p.untagged != "auto") return false;
  if (!(p.fps >= 0 && p.fps <= kMaxExtent)) return false;
  const auto is_policy = [&](const auto& name) { return p.short_videos == name.first; };
  if (std::ranges::none_of(kShortVideoNames, is_policy)) return false;
  return !p.sampling.empty() && (p.input == "rgb" || p.input == "diff" || p.input == "rgb+diff");
}

// Exactly the fields of to_json(), no others.
Preprocessing preprocessing_of(const Metadata& metadata) {
  const std::string key = "preprocessing";
  const json fields = metadata.parsed(key);
  const auto whole = [&](const char* field) {
    const json& value = fields.at(field);
    if (!value.is_number_integer()) metadata.bad(key);
    return value.get<int64_t>();
  };
  Preprocessing p;
  try {
    p = {whole("frames"),
         whole("stride"),
         fields.at("sampling"),
         whole("height"),
         whole("width"),
         fields.at("input"),
         fields.at("mean"),
         fields.at("deviation"),
         fields.value("untagged", Preprocessing().untagged),
         fields.value("rgb_first", false),
         fields.value("fps", 0.0),
         fields.value("short", Preprocessing().short_videos),
         fields.value("sar", false)};
  } catch (const json::exception&) {
    metadata.bad(key);
  }
  if (!is_valid(p) || to_json(p) != fields) metadata.bad(key);
  return p;
}

json to_json(const Standardization& targets) { return {{"mean", targets.mean}, {"deviation", targets.deviation}}; }

bool is_valid(const Standardization& targets, size_t count) {
  return targets.mean.size() == count && targets.deviation.size() == count &&
         std::ranges::all_of(targets.mean, [](double mean) { return std::isfinite(mean); }) &&
         std::ranges::all_of(targets.deviation, [](double each) { return std::isfinite(each) && each > 0; });
}

// Exactly the fields of to_json(), no others, with `count` numbers each.
Standardization standardization_of(const Metadata& metadata, size_t count) {
  const json fields = metadata.parsed("targets");
  Standardization targets;
  try {
    targets = {fields.at("mean"), fields.at("deviation")};
  } catch (const json::exception&) {
    metadata.bad("targets");
  }
  if (!is_valid(targets, count) || to_json(targets) != fields) metadata.bad("targets");
  return targets;
}

Head head_of(const Metadata& metadata) {
  for (const auto& [name, head] : kHeadNames)
    if (name == metadata.text("head")) return head;
  metadata.bad("head");
}

// The model's side and the file's side of every difference.
struct Differences {
  std::vector<std::string> lines;
  int missing = 0, extra = 0, unlike = 0;
};

Differences compare(const std::vector<NamedTensor>& targets, const std::map<std::string, Tensor>& found) {
  const auto type_of = [](const Tensor& tensor) { return describe(tensor.shape(), tensor.dtype()); };
  Differences differences;
  std::set<std::string> wanted;
  for (const auto& [name, target] : targets) {
    wanted.insert(name);
    const auto source = found.find(name);
    const bool missing = source == found.end();
    if (!missing && type_of(source->second) == type_of(target)) continue;
    ++(missing ? differences.missing : differences.unlike);
    differences.lines.push_back(concat("model needs '", name, "' ", type_of(target), ", file has ",
                                       missing ? "none" : type_of(source->second)));
  }
  for (const auto& [name, source] : found) {
    if (wanted.contains(name)) continue;
    ++differences.extra;
    differences.lines.push_back(concat("file has '", name, "' ", type_of(source), ", model has none"));
  }
  return differences;
}

}  // namespace

TensorFile to_tensor_file(const ModelFile& file) {
  TensorFile result;
  result.tensors = file.tensors;
  try {
    result.metadata = {{"format", std::to_string(kFormat)},
                       {"producer", "engine"},
                       {"model", file.model},
                       {"head", name_of(file.head)},
                       {"model_options", json(file.model_options).dump()},
                       {"classes", json(file.classes).dump()},
                       {"preprocessing", to_json(file.preprocessing).dump()},
                       {"epoch", std::to_string(file.epoch)},
                       {"step", std::to_string(file.step)},
                       {"best_metric", number_text(file.best_metric)},
                       {"seed", std::to_string(file.seed)}};
    if (file.head == Head::regression) result.metadata["targets"] = to_json(file.targets).dump();
  } catch (const json::exception&) {
    throw Error("model file: a class name or an option is not UTF-8; rename it", exit_code::kCheckpoint);
  }
  return result;
}

ModelFile to_model_file(const TensorFile& file, const std::string& where) {
  const Metadata metadata(file.metadata, where);
  if (!file.metadata.contains("format") || !file.metadata.contains("model"))
    refuse(where, "not a model that was saved here: its metadata has no 'format' and 'model'");
  if (const auto format = metadata.number<int64_t>("format"); format != kFormat)
    refuse(where, concat("format ", format, ", this engine reads ", kFormat));

  ModelFile result;
  result.model = metadata.text("model");
  if (result.model.empty()) metadata.bad("model");
  try {
    result.model_options = metadata.parsed("model_options").get<std::map<std::string, std::string>>();
  } catch (const json::exception&) {
    metadata.bad("model_options");
  }
  try {
    result.classes = metadata.parsed("classes").get<std::vector<std::string>>();
  } catch (const json::exception&) {
    metadata.bad("classes");
  }
  if (file.metadata.contains("head")) result.head = head_of(metadata);
  if (result.head == Head::regression) result.targets = standardization_of(metadata, result.classes.size());
  result.preprocessing = preprocessing_of(metadata);
  result.epoch = metadata.number<int64_t>("epoch");
  result.step = metadata.number<int64_t>("step");
  result.best_metric = metadata.number<double>("best_metric");
  result.seed = metadata.number<uint64_t>("seed");
  result.tensors = file.tensors;
  std::erase_if(result.tensors, is_of_training);
  return result;
}

void save_model(const std::string& path, const ModelFile& file) {
  const TensorFile encoded = to_tensor_file(file);
  to_model_file(encoded, concat("model for '", escaped(path), "'"));
  write_safetensors(path, encoded);
}

ModelFile load_model(const std::string& path) {
  return to_model_file(read_safetensors(path), concat("checkpoint '", escaped(path), "'"));
}

void load_into(const std::vector<NamedTensor>& targets, const std::vector<NamedTensor>& source,
               const std::string& where) {
  std::map<std::string, Tensor> found;
  for (const auto& [name, tensor] : source) found[name] = tensor;
  const Differences differences = compare(targets, found);
  if (!differences.lines.empty()) {
    std::string text;
    for (size_t i = 0; i < std::min(differences.lines.size(), kListed); ++i) text += differences.lines[i] + "; ";
    refuse(where, concat(text, differences.missing, " missing, ", differences.extra, " extra, ", differences.unlike,
                         " of another shape or type"));
  }
  for (const auto& [name, target] : targets) target.copy_from(found.at(name));
}

}  // namespace engine
