// Networks described in TOML.
#include "train/model_description.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "tests/temporary_folder.h"
#include "train/classifier.h"

namespace engine {
namespace {

Tensor parameter(const layers::VideoModel& model, const std::string& name) {
  for (const NamedTensor& each : model.parameters())
    if (each.name == name) return each.tensor;
  FAIL("no parameter " << name);
  return {};
}

void check_same(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  for (size_t i = 0; i < a.values<float>().size(); ++i)
    CHECK(a.values<float>()[i] == doctest::Approx(b.values<float>()[i]).epsilon(1e-5));
}

// The message of the error that `text` gives.
std::string refusal(const std::string& text, const Shape& clips = {2, 3, 9, 7, 3}) {
  try {
    (*make_described_model(text, "my.toml", {.outputs = 4}))(Tensor::zeros(clips));
  } catch (const Error& error) {
    CHECK(error.code() == exit_code::kUsage);
    return error.what();
  }
  return "no error";
}

const std::string kSmall = R"([[layer]]
type = "conv2d"
name = "stem"
outputs = 6
kernel = [3, 1]
stride = 2
activation = "gelu"

[[layer]]
type = "adaptive_average_pool"
size = [2, 3]

[[layer]]
type = "flatten"

[[layer]]
type = "linear"
outputs = 5
activation = "tanh"

[[layer]]
type = "lstm"
hidden = 4
bidirectional = true
)";

}  // namespace

TEST_CASE("description: a model computes what its layers say") {
  const auto model = make_described_model(kSmall, "my.toml", {.outputs = 7, .seed = 3});
  Random random(4);
  const Tensor clips = uniform({2, 3, 9, 7, 3}, -1, 1, random);
  for (const NamedTensor& each : model->parameters())
    each.tensor.detach().copy_from(uniform(each.tensor.shape(), -0.7, 0.7, random));
  const auto p = [&](const std::string& name) { return parameter(*model, name); };

  const Tensor map =
      gelu(conv2d(clips.flatten(0, 1), p("stem.weight"), p("stem.bias"), {.stride_h = 2, .stride_w = 2, .pad_h = 1}));
  const Tensor flat = adaptive_average_pool2d(map, 2, 3).reshape({2, 3, 36});
  const Tensor x = tanh(linear(flat, p("linear_1.weight"), p("linear_1.bias")));
  const auto direction = [&](const std::string& end, bool reverse) {
    return lstm(x, p("lstm_1.weight_ih_l0" + end), p("lstm_1.weight_hh_l0" + end), p("lstm_1.bias_ih_l0" + end),
                p("lstm_1.bias_hh_l0" + end), {}, {}, {.reverse = reverse})[0];
  };
  const Tensor features = mean(concat({direction("", false), direction("_reverse", true)}, 2), 1, 1);
  CHECK(model->feature_count() == 8);
  check_same(model->features(clips), features);
  check_same((*model)(clips), linear(features, p("head.weight"), p("head.bias")));
  CHECK(model->flattened_inputs() == std::map<std::string, Shape>{{"linear_1.weight", {6, 2, 3}}});
}

TEST_CASE("description: every type of layer takes and gives what it should, and learns") {
  const char* const types[] = {
      "conv3d\"\noutputs = 5\nkernel = [1, 3, 2]\nactivation = \"relu\"",
      "batch_norm\"\nactivation = \"silu",
      "layer_norm",
      "group_norm\"\ngroups = 2",
      "activation\"\nfunction = \"leaky_relu",
      "relu",
      "gelu",
      "max_pool2d",
      "average_pool2d\"\nkernel = [2, 3]\nstride = 1",
      "max_pool3d\"\nkernel = 2",
      "average_pool3d",
      "dropout",
      "position",
      "linear\"\noutputs = 3",
      "global_average_pool",
      "tokens",
      "tokens\"\n[[layer]]\ntype = \"transformer_encoder\"\nheads = 2\nlayers = 2\nfeed_forward = 7",
      "global_average_pool\"\n[[layer]]\ntype = \"mean_over_time\"\n[[layer]]\ntype = \"layer_norm"};
  for (std::string type : types) {
    CAPTURE(type);
    std::string text = "[[layer]]\ntype = \"linear\"\noutputs = 4\n[[layer]]\ntype = \"" + type;
    if (std::ranges::count(text, '"') % 2 == 1) text += "\"";
    const auto model = make_described_model(text, "my.toml", {.outputs = 5});
    Random random(6);
    const Tensor y = (*model)(uniform({2, 4, 8, 9, 3}, -1, 1, random));
    REQUIRE(y.shape() == Shape{2, 5});
    sum(square(y)).backward();
    for (const NamedTensor& each : model->parameters()) CHECK_MESSAGE(each.tensor.grad(), each.name);
  }
}

TEST_CASE("description: mistakes are told with their place and what to do") {
  CHECK(refusal(kSmall) == "no error");
  CHECK(refusal("") == "my.toml:1:1: no layers; begin each with a line [[layer]] and its type");
  CHECK(refusal("[[layers]]\ntype = \"relu\"")
            .starts_with("my.toml:1:3: a model: unknown key 'layers'; did you mean "
                         "'layer'?"));
  CHECK(refusal("[[layer]\n").starts_with("my.toml:1:"));
  CHECK(refusal("[[layer]]\noutputs = 3").starts_with("my.toml:1:1: a layer without a type; add type = one of conv2d"));
  CHECK(refusal("[[layer]]\ntype = \"conv2\"")
            .starts_with("my.toml:2:8: no such type of layer: 'conv2'; did you mean "
                         "'conv2d'?"));
  CHECK(refusal("[[layer]]\ntype = \"conv2d\"\noutput = 3")
            .starts_with("my.toml:3:1: conv2d: unknown key 'output'; did "
                         "you mean 'outputs'?"));
  CHECK(refusal("[[layer]]\ntype = \"conv2d\"") == "my.toml:1:1: 'outputs' is missing; add outputs = a whole number");
  CHECK(refusal("[[layer]]\ntype = \"conv2d\"\noutputs = 2.5") ==
        "my.toml:3:11: outputs must be a whole number from 1 to 65536");
  CHECK(refusal("[[layer]]\ntype = \"conv2d\"\noutputs = 4\nkernel = [3, 3, 3]") ==
        "my.toml:4:10: kernel must be one number or a list of 2");
  CHECK(refusal("[[layer]]\ntype = \"conv2d\"\noutputs = 4\nactivation = \"rleu\"")
            .starts_with("my.toml:4:14: activation must be one of none, relu"));
  CHECK(
      refusal("[[layer]]\ntype = \"lstm\"\nhidden = 4") ==
      "my.toml:1:1: lstm works on a sequence, and here comes clips; put global_average_pool, flatten or tokens before "
      "it");
  CHECK(refusal("[[layer]]\ntype = \"flatten\"").starts_with("my.toml:1:1: flatten needs to know the size of the map"));
  CHECK(refusal("[[layer]]\ntype = \"dropout\"\nprobability = 1") ==
        "my.toml:3:15: probability must be a number from 0 to 0.95");
  CHECK(refusal("[[layer]]\ntype = \"relu\"\nname = \"head\"").starts_with("my.toml:3:8: a name is made of letters"));
  CHECK(refusal("[[layer]]\ntype = \"relu\"\nname = \"a\"\n[[layer]]\ntype = \"relu\"\nname = \"a\"") ==
        "my.toml:6:8: two layers are called 'a'; give one another name");
  CHECK(refusal("[[layer]]\ntype = \"group_norm\"\ngroups = 2").starts_with("my.toml:1:1: "));
  CHECK(refusal("[[layer]]\ntype = \"conv2d\"\noutputs = 65536\nkernel = 255").find(" weights; the most is ") !=
        std::string::npos);
  const std::string deep = "[[layer]]\ntype = \"max_pool2d\"\nkernel = 8\n";
  CHECK(refusal(deep).starts_with("my.toml:1:1: layer 'max_pool2d_1' cannot take what comes to it, (2,3,9,7,3): "));
  CHECK(refusal("[[layer]]\ntype = 3") == "my.toml:2:8: type must be a text in quotes");
  CHECK(refusal("[[layer]]\ntype = \"conv2d\"\noutputs = 3\n[[layer]]\ntype = \"global_average_pool\"\n"
                "[[layer]]\ntype = \"position\"") == "my.toml:6:1: position needs an even number of channels");
  CHECK_THROWS_AS(make_described_model(kSmall, "my.toml", {.size = "tiny"}), Error);
}

TEST_CASE("description: the checkpoint is enough") {
  const TemporaryFolder folder;
  ModelFile file;
  file.model = "my";
  file.model_options["description"] = kSmall;
  file.classes = {"a", "b", "c"};
  file.seed = 12;
  Classifier made(file);
  save_model(folder / "model.safetensors", made.file());
  Classifier loaded = Classifier::load(folder / "model.safetensors");
  Random random(5);
  const Tensor clips = uniform({1, 2, 8, 8, 3}, -1, 1, random);
  check_same(loaded.network()(clips), made.network()(clips));
  file.model_options["description"] = "[[layer]]\ntype = \"linear\"";
  file.tensors = made.file().tensors;
  save_model(folder / "model.safetensors", file);
  CHECK_THROWS_WITH(Classifier::load(folder / "model.safetensors"),
                    doctest::Contains("model.safetensors': my.toml:1:1: 'outputs' is missing"));
}

TEST_CASE("description: the examples of docs/models.md") {
  std::ifstream file(std::string(ENGINE_SOURCE_DIR) + "/docs/models.md");
  std::string line, text;
  int examples = 0;
  for (bool inside = false; std::getline(file, line);) {
    if (inside && line == "```") {
      inside = false;
      ++examples;
      CAPTURE(text);
      const auto model = make_described_model(text, "docs/models.md", {.outputs = 3});
      const NoGrad no_grad;
      CHECK((*model)(Tensor::zeros({1, 4, 32, 32, 3})).shape() == Shape{1, 3});
    } else if (line == "```toml") {
      inside = true;
      text.clear();
    } else if (inside) {
      text += line + "\n";
    }
  }
  CHECK(examples == 2);
}

}  // namespace engine
