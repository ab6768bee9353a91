#include "train/model_card.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/autograd.h"
#include "engine/random.h"
#include "io/text.h"
#include "layers/models/registry.h"
#include "train/classifier.h"
#include "train/cli.h"
#include "train/model_description.h"
#include "train/op_watch.h"
#include "train/option_table.h"

namespace engine {
namespace {

using nlohmann::ordered_json;

Preprocessing input(int64_t frames, int64_t side, const std::array<double, 3>& mean,
                    const std::array<double, 3>& deviation) {
  return {.frames = frames, .height = side, .width = side, .mean = mean, .deviation = deviation};
}

// What is inspected, and how large.
struct Inspected {
  std::string name;
  std::shared_ptr<layers::VideoModel> network;
  Shape clip;  // (1, T, H, W, C)
  int64_t outputs = 0;
};

Inspected open_model(const InspectOptions& options) {
  ModelFile file;
  const bool is_checkpoint = options.model.ends_with(".safetensors");
  if (is_checkpoint) {
    if (options.channels || options.outputs || !options.size.empty() || !options.backbone.empty())
      throw Error(
          "inspect: --channels, --outputs, --size and --backbone are for names and descriptions; a checkpoint "
          "has its own",
          exit_code::kUsage);
    file = Classifier::load(options.model).file();
  } else if (names_description(options.model)) {
    make_described_model(read_description(options.model), options.model, {});  // for errors that tell the path
    file.model = std::filesystem::path(options.model).stem();
    file.model_options["description"] = read_description(options.model);
  } else if (const KnownModel* known = find_model(options.model)) {
    file.model = options.model;
    file.preprocessing = known->preprocessing;
  } else {
    const std::vector<std::string> names = layers::model_names();
    throw Error(fmt::format("{}: no such model{} (models: {}; or a file ending in .safetensors or .toml)",
                            escaped(options.model), did_you_mean(options.model, names), joined(names)),
                exit_code::kUsage);
  }
  const int64_t outputs = is_checkpoint ? std::ssize(file.classes) : options.outputs.value_or(10);
  int64_t channels = input_channels(file.preprocessing);
  const Preprocessing& p = file.preprocessing;
  Inspected result;
  result.name = file.model;
  result.outputs = outputs;
  if (is_checkpoint) {
    result.network = make_network(file);
  } else {
    channels = options.channels.value_or(channels);
    const layers::ModelOptions made{
        .outputs = outputs, .channels = channels, .size = options.size, .backbone = options.backbone};
    result.network = names_description(options.model)
                         ? make_described_model(file.model_options["description"], options.model, made)
                         : layers::make_model(options.model, made);
  }
  result.clip = {1, options.frames.value_or(p.frames), options.image_size ? options.image_size->height : p.height,
                 options.image_size ? options.image_size->width : p.width, channels};
  return result;
}

// "12,697,264".
std::string grouped(int64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return text;
}

}  // namespace

const std::vector<KnownModel>& known_models() {
  const std::array<double, 3> zero{0, 0, 0}, one{1, 1, 1}, half{0.5, 0.5, 0.5};
  const Preprocessing small = input(12, 64, half, half), frame = input(4, 64, half, half);
  const Preprocessing imagenet = input(4, 224, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225});
  const Preprocessing kinetics = input(16, 112, {0.43216, 0.394666, 0.37645}, {0.22803, 0.22145, 0.216989});
  const std::string each = "on single frames, averaged over the clip";
  static const std::vector<KnownModel> models = {
      {"sora-cnn", "", "Three convolutions " + each, 373386, "head", frame},
      {"sora-serial", "tiny", "Frames, then an LSTM, then a Transformer encoder", 239018, "head", small},
      {"sora-serial", "small", "the same, wider and deeper; the default size", 1148362, "head", small},
      {"sora-serial", "base", "the same, wider and deeper still", 6157706, "head", small},
      {"sora-fusion", "tiny", "A Transformer whose decoder asks with an LSTM's states", 314410, "head", small},
      {"sora-fusion", "small", "the same, wider and deeper; the default size", 1711178, "head", small},
      {"sora-fusion", "base", "the same, wider and deeper still", 10504330, "head", small},
      {"resnet18", "", "Residual network of 18 layers " + each, 11689512 - 990 * 513, "fc", imagenet},
      {"resnet50", "", "Residual network of 50 layers " + each, 25557032 - 990 * 2049, "fc", imagenet},
      {"vgg11", "", "Eleven layers without shortcuts " + each, 132863336 - 990 * 4097, "classifier.6", imagenet},
      {"vgg16", "", "Sixteen layers without shortcuts " + each, 138357544 - 990 * 4097, "classifier.6", imagenet},
      {"r3d_18", "", "Residual network of 3-D convolutions", 33371472 - 390 * 513, "fc", kinetics},
      {"mc3_18", "", "Residual network, 3-D at first and 2-D later", 11695440 - 390 * 513, "fc", kinetics},
      {"r2plus1d_18", "", "Residual network, each convolution over space, then time", 31505325 - 390 * 513, "fc",
       kinetics},
      {"c3d", "", "Eight 3-D convolutions and three linear layers", 78409573 - 91 * 4097, "fc8",
       input(16, 112, zero, one)},
      {"i3d", "", "Inception-v1 inflated to three dimensions", 12697264 - 390 * 1025, "logits.conv3d",
       input(64, 224, half, half)},
  };
  return models;
}

const KnownModel* find_model(const std::string& name) {
  for (const KnownModel& each : known_models())
    if (each.name == name && (each.size.empty() || each.size == "small")) return &each;
  return nullptr;
}

ModelCost cost_of(layers::VideoModel& model, const Shape& shape) {
  const Tensor clip = Tensor::zeros(shape);
  ModelCost cost;
  {
    const NoGrad no_grad;
    const OpWatch watch;
    model.eval();
    model(clip);  // what it keeps between passes is there from now on
    cost.flop = watch.flop;
  }
  model.train();
  const int64_t before = cpu_bytes_in_use();
  const Tensor outputs = model(clip);
  cost.activation_bytes = cpu_bytes_in_use() - before;
  return cost;
}

std::string models_text() {
  std::string text = fmt::format("{:<12} {:<6} {:>11}  {}\n", "model", "size", "parameters", "what it is");
  for (const KnownModel& each : known_models())
    text += fmt::format("{:<12} {:<6} {:>11}  {}\n", each.name, each.size.empty() ? "-" : each.size,
                        grouped(each.parameters), each.what);
  return text;
}

std::string models_json() {
  std::string text;
  for (const KnownModel& each : known_models())
    text +=
        ordered_json{{"model", each.name}, {"size", each.size}, {"parameters", each.parameters}, {"what", each.what}}
            .dump() +
        "\n";
  return text;
}

std::string inspect_model(const InspectOptions& options) {
  const Inspected model = open_model(options);
  const ModelCost cost = cost_of(*model.network, model.clip);
  const Shape& clip = model.clip;
  if (options.json) {
    ordered_json layers = ordered_json::array();
    model.network->visit([&](const std::string& path, layers::Module& each) {
      layers.push_back({{"path", path}, {"layer", each.describe()}, {"parameters", each.parameter_count()}});
    });
    return ordered_json{{"model", model.name},
                        {"input", {clip[1], clip[2], clip[3], clip[4]}},
                        {"outputs", model.outputs},
                        {"parameters", model.network->parameter_count()},
                        {"flop_per_clip", cost.flop},
                        {"activation_bytes_per_clip", cost.activation_bytes},
                        {"layers", layers}}
               .dump() +
           "\n";
  }
  return fmt::format(
      "model        {}\n"
      "input        {} frames of {}x{}, {} channels\n"
      "outputs      {}\n"
      "parameters   {}\n"
      "computation  {:.4g} GFLOP a clip, forward\n"
      "activations  {:.4g} MiB a clip, kept for the backward pass in f32\n\n{}",
      model.name, clip[1], clip[3], clip[2], clip[4], model.outputs, grouped(model.network->parameter_count()),
      cost.flop / 1e9, static_cast<double>(cost.activation_bytes) / (1 << 20), layers::summary(*model.network));
}

}  // namespace engine
