#include "train/weights.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "engine/ops.h"
#include "io/text.h"
#include "io/torch_weights.h"
#include "layers/models/registry.h"
#include "train/classifier.h"
#include "train/cli.h"
#include "train/model_card.h"
#include "train/model_description.h"
#include "train/option_table.h"

namespace engine {
namespace {

constexpr size_t kListed = 5;

std::string listed(const std::vector<std::string>& names) {
  const std::vector<std::string> first(names.begin(), names.begin() + std::min(names.size(), kListed));
  const size_t more = names.size() - first.size();
  return joined(first) + (more > 0 ? fmt::format(" and {} more", more) : "");
}

std::vector<std::string> names_of(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> names;
  for (const NamedTensor& each : tensors) names.push_back(each.name);
  return names;
}

Tensor in_f32(const Tensor& x) { return is_float(x.dtype()) ? cast(x.detach(), DType::f32) : x; }

std::vector<std::string> lines_of(const std::string& path) {
  std::istringstream text(read_description(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) lines.push_back(escaped(line));
  }
  return lines;
}

// The number of outputs that the file's head has.
int64_t outputs_in(const TensorFile& file, const std::string& head, const std::string& path) {
  for (const NamedTensor& each : file.tensors)
    if ((each.name == head + ".weight" || each.name == head + ".bias") && each.tensor.rank() > 0)
      return each.tensor.size(0);
  throw Error(
      fmt::format("{}: it has no '{}.weight', the head of the model; is it of another model?", escaped(path), head),
      exit_code::kCheckpoint);
}

ModelFile engine_file(const ConvertOptions& options, const TensorFile& file) {
  if (options.model.empty())
    throw Error("convert: --model is needed to read weights in PyTorch's layout; see engine_model list",
                exit_code::kUsage);
  ModelFile result;
  const KnownModel* known = find_model(options.model);
  result.model = options.model;
  if (names_description(options.model)) {
    result.model = std::filesystem::path(options.model).stem();
    result.model_options["description"] = read_description(options.model);
  } else if (!known) {
    const std::vector<std::string> names = layers::model_names();
    throw Error(fmt::format("--model {}: no such model{} (models: {}, or a description ending in .toml)", options.model,
                            did_you_mean(options.model, names), joined(names)),
                exit_code::kUsage);
  }
  if (known) result.preprocessing = known->preprocessing;
  if (!options.size.empty()) result.model_options["size"] = options.size;
  if (!options.backbone.empty()) result.model_options["backbone"] = options.backbone;
  const int64_t outputs = outputs_in(file, known ? known->head : "head", options.in);
  if (options.classes.empty())
    for (int64_t i = 0; i < outputs; ++i) result.classes.push_back(std::to_string(i));
  else
    result.classes = lines_of(options.classes);
  if (std::ssize(result.classes) != outputs)
    throw Error(fmt::format("{} has {} names, and the head in {} has {} outputs; give a name for each", options.classes,
                            result.classes.size(), escaped(options.in), outputs),
                exit_code::kUsage);
  return result;
}

}  // namespace

bool is_ours(const TensorFile& file) { return file.metadata.contains("model_options"); }

std::vector<NamedTensor> all_tensors(const layers::Module& network) {
  std::vector<NamedTensor> tensors = network.parameters();
  std::ranges::copy(network.buffers(), std::back_inserter(tensors));
  return tensors;
}

std::vector<NamedTensor> weights_for(const layers::VideoModel& network, const TensorFile& file) {
  std::vector<NamedTensor> tensors = file.tensors;
  if (!is_ours(file)) {
    FlattenedInputs flattened = network.flattened_inputs();
    for (const NamedTensor& each : tensors)  // one that does not fit is left for the caller to see
      if (const auto found = flattened.find(each.name);
          found != flattened.end() && (each.tensor.rank() != 2 || each.tensor.size(1) != found->second.elements()))
        flattened.erase(found);
    tensors = from_torch(tensors, flattened);
  }
  for (NamedTensor& each : tensors) each.tensor = in_f32(each.tensor);
  return tensors;
}

Fitted load_fitting(layers::VideoModel& network, const std::string& path) {
  const std::vector<NamedTensor> source = weights_for(network, read_safetensors(path));
  std::map<std::string, Tensor> found;
  for (const NamedTensor& each : source) found[each.name] = each.tensor;
  Fitted result;
  for (const auto& [name, target] : all_tensors(network)) {
    const auto each = found.find(name);
    if (each == found.end()) {
      result.fresh.push_back(name);
    } else if (each->second.shape() != target.shape() || !is_float(each->second.dtype())) {
      result.fresh.push_back(fmt::format("{} ({} in the file, {} here)", name,
                                         describe(each->second.shape(), each->second.dtype()),
                                         describe(target.shape(), target.dtype())));
    } else {
      target.detach().copy_from(each->second);
      ++result.loaded;
    }
    if (each != found.end()) found.erase(each);
  }
  for (const auto& [name, tensor] : found) result.skipped.push_back(name);
  if (result.loaded == 0)
    throw Error(fmt::format("{}: none of its {} tensors fits the model; the model has {}, the file {}", escaped(path),
                            source.size(), listed(names_of(network.parameters())), escaped(listed(names_of(source)))),
                exit_code::kCheckpoint);
  return result;
}

std::string to_text(const Fitted& fitted, const std::string& path) {
  std::string text = fmt::format("init    {}: loaded {} tensors\n", path, fitted.loaded);
  if (!fitted.fresh.empty())
    text +=
        fmt::format("        {} new, with random weights: {}\n", fitted.fresh.size(), escaped(listed(fitted.fresh)));
  if (!fitted.skipped.empty())
    text += fmt::format("        {} of the file skipped, the model has none of that name: {}\n", fitted.skipped.size(),
                        escaped(listed(fitted.skipped)));
  return text;
}

std::function<bool(const std::string& name)> frozen_by(const std::string& patterns, const layers::Module& network) {
  if (patterns.empty()) return {};
  const std::vector<std::string> names = names_of(network.parameters());
  std::set<std::string> frozen;
  std::istringstream list(patterns);
  for (std::string pattern; std::getline(list, pattern, ',');) {
    size_t matched = 0;
    for (const std::string& name : names)
      if (fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0) frozen.insert(name), ++matched;
    if (matched > 0) continue;
    const std::string nearest = did_you_mean(pattern, names);
    throw Error(fmt::format("--freeze: no parameter is called '{}'{}", pattern,
                            nearest.empty() ? fmt::format("; there are {}", listed(names)) : nearest),
                exit_code::kUsage);
  }
  if (frozen.size() == names.size())
    throw Error(
        fmt::format("--freeze {}: every parameter is frozen, so that there is nothing to train; freeze less", patterns),
        exit_code::kUsage);
  return [frozen](const std::string& name) { return frozen.contains(name); };
}

std::string convert_weights(const ConvertOptions& options) {
  const TensorFile file = read_safetensors(options.in, "weights");
  const bool ours = is_ours(file);
  const bool to_engine = options.to.empty() ? !ours : options.to == "engine";
  if (to_engine == ours)
    throw Error(fmt::format("{} is in the layout of {} already", escaped(options.in), ours ? "engine" : "torch"),
                exit_code::kUsage);
  if (!options.force && std::filesystem::exists(options.out))
    throw Error(fmt::format("{} is there already; choose another OUT, or replace it with --force", options.out),
                exit_code::kUsage);
  const std::string where = fmt::format("weights '{}'", escaped(options.in));
  size_t count = 0;
  if (to_engine) {
    Classifier classifier(engine_file(options, file));
    load_into(all_tensors(classifier.network()), weights_for(classifier.network(), file), where);
    const ModelFile converted = classifier.file();
    save_model(options.out, converted);
    count = converted.tensors.size();
  } else {
    Classifier classifier = Classifier::load(options.in);
    const TensorFile converted{{{"format", "pt"}},
                               to_torch(classifier.file().tensors, classifier.network().flattened_inputs())};
    write_safetensors(options.out, converted);
    count = converted.tensors.size();
  }
  return fmt::format("{}: {} tensors, in the layout of {}\n", options.out, count, to_engine ? "engine" : "torch");
}

}  // namespace engine
