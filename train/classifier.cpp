#include "train/classifier.h"

#include <algorithm>
#include <charconv>

#include "engine/ops.h"
#include "layers/models/registry.h"
#include "train/model_description.h"
#include "train/weights.h"

namespace engine {
namespace {

constexpr int64_t kColours = 3;
constexpr double kLargestByte = 255.0;

bool sees_differences(const Preprocessing& preprocessing) { return preprocessing.input != "rgb"; }

std::vector<double> in_bytes(const std::array<double, 3>& values) {
  std::vector<double> result;
  for (const double value : values) result.push_back(value * kLargestByte);
  return result;
}

std::string option_text(const ModelFile& file, const std::string& name) {
  const auto found = file.model_options.find(name);
  return found == file.model_options.end() ? "" : found->second;
}

std::optional<double> option_number(const ModelFile& file, const std::string& name) {
  const std::string text = option_text(file, name);
  if (text.empty()) return std::nullopt;
  double value = 0;
  const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stopped != text.data() + text.size())
    throw Error(concat("model option ", name, " must be a number, not '", text, "'"), exit_code::kCheckpoint);
  return value;
}

layers::ModelOptions model_options(const ModelFile& file) {
  return {.outputs = static_cast<int64_t>(file.classes.size()),
          .channels = input_channels(file.preprocessing),
          .dropout = option_number(file, "dropout"),
          .drop_path = option_number(file, "drop_path").value_or(0),
          .seed = file.seed,
          .size = option_text(file, "size"),
          .backbone = option_text(file, "backbone")};
}

// Neighbouring frames of every clip: (N, T + 1, H, W, C) -> the last T (first = 1) or the first T (first = 0).
Tensor clip_frames(const Tensor& x, int64_t first) {
  const int64_t clips = x.size(0), frames = x.size(1) - 1;
  const Shape shape{frames, x.size(2), x.size(3), x.size(4)};
  std::vector<Tensor> parts;
  for (int64_t n = 0; n < clips; ++n)
    parts.push_back(x.slice(n, n + 1).reshape({frames + 1, shape[1], shape[2], shape[3]}).slice(first, first + frames));
  return concat(parts, 0).reshape({clips, frames, shape[1], shape[2], shape[3]});
}

}  // namespace

int64_t frames_to_read(const Preprocessing& preprocessing) {
  return preprocessing.frames + (sees_differences(preprocessing) ? 1 : 0);
}

int64_t input_channels(const Preprocessing& preprocessing) {
  return preprocessing.input == "rgb+diff" ? 2 * kColours : kColours;
}

Tensor network_input(const Tensor& frames, const Preprocessing& preprocessing, DType dtype) {
  const Tensor x = normalize_frames(frames, in_bytes(preprocessing.mean), in_bytes(preprocessing.deviation), dtype);
  if (!sees_differences(preprocessing)) return x;
  const Tensor later = clip_frames(x, 1);
  const Tensor difference = sub(later, clip_frames(x, 0));
  return preprocessing.input == "diff" ? difference : concat({later, difference}, -1);
}

std::shared_ptr<layers::VideoModel> make_network(const ModelFile& description, std::optional<int64_t> outputs) {
  layers::ModelOptions options = model_options(description);
  if (outputs) options.outputs = *outputs;
  const auto text = description.model_options.find("description");
  if (text != description.model_options.end() && options.drop_path > 0)
    throw Error(concat("model '", description.model, "' is described layer by layer and has no paths to drop"),
                exit_code::kUsage);
  return text == description.model_options.end()
             ? layers::make_model(description.model, options)
             : make_described_model(text->second, description.model + ".toml", options);
}

Classifier::Classifier(ModelFile description) : description_(std::move(description)) {
  description_.tensors.clear();
  network_ = make_network(description_);
  network_->name_layers();
}

Classifier Classifier::load(const std::string& path) {
  ModelFile file = load_model(path);
  const std::vector<NamedTensor> tensors = std::move(file.tensors);
  try {
    Classifier classifier(std::move(file));
    load_into(all_tensors(*classifier.network_), tensors, concat("checkpoint '", path, "'"));
    classifier.network_->eval();
    return classifier;
  } catch (const Error& error) {
    if (error.code() == exit_code::kCheckpoint) throw;
    throw Error(concat("checkpoint '", path, "': ", error.what()), exit_code::kCheckpoint);
  }
}

void Classifier::move_to(Device device, DType compute) {
  network_->to(device);
  network_->to(compute);
  compute_ = compute;
}

ModelFile Classifier::file() const {
  ModelFile file = description_;
  file.tensors = all_tensors(*network_);
  return file;
}

}  // namespace engine
