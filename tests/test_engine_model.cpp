// engine_model, and what engine_train takes from elsewhere.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/random.h"
#include "io/torch_weights.h"
#include "layers/models/registry.h"
#include "tests/program_run.h"
#include "train/classifier.h"
#include "train/model_card.h"
#include "train/weights.h"

using namespace engine;
using program_run::Outcome;

namespace {

const std::string kDescription = R"([[layer]]
type = "conv2d"
name = "stem"
outputs = 4
bias = false
[[layer]]
type = "batch_norm"
[[layer]]
type = "adaptive_average_pool"
size = [2, 3]
[[layer]]
type = "flatten"
[[layer]]
type = "linear"
name = "middle"
outputs = 5
)";

void check_refused(const Outcome& outcome, int code, const std::string& words) {
  CAPTURE(outcome.err);
  CHECK(outcome.code == code);
  CHECK(std::ranges::count(outcome.err, '\n') == 1);
  CHECK(outcome.err.find(words) != std::string::npos);
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.memory(), b.memory(), a.bytes()) == 0;
}

ModelFile described(int64_t outputs, uint64_t seed) {
  ModelFile file;
  file.model = "my";
  file.model_options["description"] = kDescription;
  for (int64_t i = 0; i < outputs; ++i) file.classes.push_back("class " + std::to_string(i));
  file.seed = seed;
  file.preprocessing = {.frames = 2, .height = 16, .width = 16};
  return file;
}

Tensor find(const std::vector<NamedTensor>& tensors, const std::string& name) {
  const auto found = std::ranges::find(tensors, name, &NamedTensor::name);
  REQUIRE_MESSAGE(found != tensors.end(), name);
  return found->tensor;
}

}  // namespace

TEST_CASE("engine_model: the list has every model of the registry with its parameters") {
  for (const std::string& name : layers::model_names()) CHECK_MESSAGE(find_model(name) != nullptr, name);
  for (const KnownModel& each : known_models()) {
    if (each.parameters > 11'800'000) continue;  // the large ones are counted in the suite models
    INFO(each.name, " ", each.size);
    const auto model = layers::make_model(each.name, {.outputs = 10, .size = each.size});
    CHECK(model->parameter_count() == each.parameters);
    const auto parameters = model->parameters();
    CHECK(find(parameters, each.head + ".weight").size(0) == 10);
  }
  const TemporaryFolder folder;
  const Outcome text = program_run::run(folder, "engine_model", {"list"});
  CHECK(text.code == 0);
  CHECK(text.out.find("\nr3d_18       -       33,171,402  Residual") != std::string::npos);
  const Outcome lines = program_run::run(folder, "engine_model", {"list", "--json"});
  CHECK(std::ranges::count(lines.out, '\n') == std::ssize(known_models()));
  CHECK(nlohmann::json::parse(lines.out.substr(0, lines.out.find('\n')))["parameters"] == 373386);
}

TEST_CASE("engine_model: a card tells computation and memory") {
  const TemporaryFolder folder;
  program_run::write_text(folder / "my.toml", kDescription);
  const auto inspect = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "inspect");
    return program_run::run(folder, "engine_model", arguments);
  };
  const Outcome outcome = inspect(
      {folder / "my.toml", "--frames", "3", "--image-size", "9x8", "--channels", "2", "--outputs", "7", "--json"});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  const auto card = nlohmann::json::parse(outcome.out);
  CHECK(card["input"] == nlohmann::json({3, 8, 9, 2}));
  CHECK(card["parameters"] == 4 * 18 + 8 + 24 * 5 + 5 + 5 * 7 + 7);
  CHECK(card["flop_per_clip"] == 2 * (3 * 72 * 4 * 18 + 3 * 24 * 5 + 5 * 7));
  // The output of the convolution, which the norm needs; pooling needs no more of the norm's than its shape.
  CHECK(card["activation_bytes_per_clip"] >= 4 * 3 * 72 * 4);
  CHECK(card["activation_bytes_per_clip"] < 2 * 4 * 3 * 72 * 4);
  CHECK(card["layers"][1]["path"] == "stem");

  save_model(folder / "model.safetensors", Classifier(described(6, 1)).file());
  const Outcome trained = inspect({folder / "model.safetensors"});
  CHECK(trained.code == 0);
  CHECK(trained.out.find("input        2 frames of 16x16, 3 channels\noutputs      6\n") != std::string::npos);
  CHECK(trained.out.find("\n  stem: Conv2d 3 to 4, 3x3") != std::string::npos);
  check_refused(inspect({folder / "model.safetensors", "--outputs", "3"}), exit_code::kUsage,
                "a checkpoint has its own");
  check_refused(inspect({"resnet81"}), exit_code::kUsage,
                "resnet81: no such model; did you mean 'resnet18'? (models: ");
  check_refused(inspect({"resnet81"}), exit_code::kUsage, "; or a file ending in .safetensors or .toml)");
  check_refused(inspect({folder / "none.toml"}), exit_code::kNoInput, "none.toml: no such file");
  check_refused(inspect({"resnet18", "--size", "tiny"}), exit_code::kUsage, "comes in one size");
  check_refused(inspect({"resnet18", "--image-size", "7"}), exit_code::kUsage, "--image-size must be");
}

TEST_CASE("engine_model: weights there and back, to the bit") {
  const TemporaryFolder folder;
  Classifier classifier(described(3, 2));
  const std::vector<NamedTensor> ours = classifier.file().tensors;
  const TensorFile theirs{{{"format", "pt"}}, to_torch(ours, classifier.network().flattened_inputs())};
  CHECK_FALSE(same_bytes(find(theirs.tensors, "middle.weight"), find(ours, "middle.weight")));
  write_safetensors(folder / "torch.safetensors", theirs);
  program_run::write_text(folder / "my.toml", kDescription);
  program_run::write_text(folder / "names.txt", "x\ny\nz\n");
  const auto convert = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "convert");
    return program_run::run(folder, "engine_model", arguments);
  };
  const std::string torch = folder / "torch.safetensors", out = folder / "out.safetensors", model = folder / "my.toml";
  const Outcome made = convert({torch, out, "--model", model, "--classes", folder / "names.txt"});
  INFO(made.err);
  REQUIRE(made.code == 0);
  const ModelFile converted = load_model(out);
  CHECK(converted.classes == std::vector<std::string>{"x", "y", "z"});
  for (const NamedTensor& each : ours) CHECK(same_bytes(find(converted.tensors, each.name), each.tensor));
  REQUIRE(convert({out, folder / "back.safetensors"}).code == 0);
  const TensorFile back = read_safetensors(folder / "back.safetensors");
  CHECK(back.metadata.at("format") == "pt");
  REQUIRE(back.tensors.size() == theirs.tensors.size());
  for (const NamedTensor& each : theirs.tensors) CHECK(same_bytes(find(back.tensors, each.name), each.tensor));

  check_refused(convert({torch, out, "--model", model}), exit_code::kUsage,
                " is there already; choose another OUT, or replace it with --force");
  program_run::write_text(folder / "two.txt", "x\ny\n");
  check_refused(convert({torch, folder / "b", "--model", model, "--classes", folder / "two.txt"}), exit_code::kUsage,
                "two.txt has 2 names, and the head in " + torch + " has 3 outputs; give a name for each");
  check_refused(convert({torch, folder / "b"}), exit_code::kUsage, "--model is needed");
  check_refused(convert({torch, folder / "b", "--to", "torch"}), exit_code::kUsage, "in the layout of torch already");
  check_refused(convert({torch, folder / "b", "--model", "resnet"}), exit_code::kUsage,
                "--model resnet: no such model; did you mean 'resnet18'? (models: ");
  check_refused(convert({torch, folder / "b", "--model", "resnet"}), exit_code::kUsage,
                ", or a description ending in .toml)");
  check_refused(convert({torch, folder / "b", "--model", "resnet18"}), exit_code::kCheckpoint,
                "it has no 'fc.weight', the head of the model; is it of another model?");
  check_refused(convert({torch, folder / "b", "--model", "sora-cnn"}), exit_code::kCheckpoint, "model needs 'conv1");
}

TEST_CASE("weights: what fits is loaded, the rest told") {
  const TemporaryFolder folder;
  Classifier from(described(3, 5)), to(described(4, 6));
  const std::vector<NamedTensor> before = from.file().tensors;
  std::vector<NamedTensor> torch = to_torch(before, from.network().flattened_inputs());
  torch.push_back({"extra.weight", Tensor::full({2}, 1.5)});
  write_safetensors(folder / "torch", {{}, torch});
  save_model(folder / "ours", from.file());
  for (const std::string name : {"torch", "ours"}) {
    CAPTURE(name);
    Classifier network(described(4, 7));
    const Tensor head = find(network.network().parameters(), "head.weight").clone();
    const Fitted fitted = load_fitting(network.network(), folder / name);
    CHECK(fitted.loaded == 7);
    CHECK(fitted.fresh == std::vector<std::string>{"head.weight ([3,5] F32 in the file, [4,5] F32 here)",
                                                   "head.bias ([3] F32 in the file, [4] F32 here)"});
    CHECK(fitted.skipped == (name == "torch" ? std::vector<std::string>{"extra.weight"} : std::vector<std::string>{}));
    const auto after = network.file().tensors;
    for (const char* const each : {"stem.weight", "middle.weight", "batch_norm_1.running_var"})
      CHECK(same_bytes(find(after, each), find(before, each)));
    CHECK(same_bytes(find(after, "head.weight"), head));
    CHECK(to_text(fitted, "f").find("loaded 7 tensors\n        2 new, with random weights: head.weight") !=
          std::string::npos);
  }
  write_safetensors(folder / "other", {{}, {{"conv.weight", Tensor::full({3}, 2)}}});
  CHECK_THROWS_WITH(load_fitting(to.network(), folder / "other"), doctest::Contains("none of its 1 tensors fits"));
}

TEST_CASE("weights: patterns of frozen parameters") {
  Classifier model(described(3, 5));
  CHECK_FALSE(frozen_by("", model.network()));
  const auto frozen = frozen_by("stem.*,m?ddle.bias", model.network());
  CHECK(frozen("stem.weight"));
  CHECK(frozen("middle.bias"));
  CHECK_FALSE(frozen("middle.weight"));
  CHECK_THROWS_WITH(frozen_by("stem.*,midle.bias", model.network()),
                    "--freeze: no parameter is called 'midle.bias'; did you mean 'middle.bias'?");
  CHECK_THROWS_WITH(frozen_by("*", model.network()),
                    doctest::Contains("every parameter is frozen, so that there is nothing to train; freeze less"));
}

TEST_CASE("engine_train: a described model from other weights, in part frozen, and applied by its checkpoint alone") {
  const TemporaryFolder folder;
  program_run::make_videos(folder / "videos", 1, 1);
  program_run::write_text(folder / "my.toml", kDescription);
  Classifier start(described(3, 5));
  save_model(folder / "start.safetensors", start.file());
  const auto train = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> all = {
        folder / "videos", "--epochs",         "1",          "--frames", "2",       "--size", "16",
        "--model",         folder / "my.toml", "--progress", "none",     "--force", "--out",  folder / "run"};
    all.insert(all.end(), flags.begin(), flags.end());
    return program_run::run(folder, "engine_train", all);
  };
  check_refused(train({"--freeze", "stm.weight"}), exit_code::kUsage, "did you mean 'stem.weight'?");
  check_refused(train({"--model-size", "tiny"}), exit_code::kUsage, "no size and no backbone");
  const Outcome trained = train({"--init-from", folder / "start.safetensors", "--freeze", "stem.*,middle.bias"});
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(trained.err.find("loaded 7 tensors") != std::string::npos);
  CHECK(trained.err.find("new, with random weights: head.weight") != std::string::npos);
  const ModelFile saved = load_model(folder / "run/best.safetensors");
  const auto before = start.file().tensors;
  CHECK(same_bytes(find(saved.tensors, "stem.weight"), find(before, "stem.weight")));
  CHECK(same_bytes(find(saved.tensors, "middle.bias"), find(before, "middle.bias")));
  CHECK_FALSE(same_bytes(find(saved.tensors, "middle.weight"), find(before, "middle.weight")));
  CHECK(saved.model == "my");
  std::filesystem::remove(folder / "my.toml");
  CHECK(program_run::run(folder, "engine_predict", {"eval", folder / "run/best.safetensors", folder / "videos"}).code ==
        0);
}
