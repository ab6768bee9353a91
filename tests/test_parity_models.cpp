// The networks of the field against PyTorch's in f64, and f32 against f64. tests/parity/README.md has the figures that
// are compared.
#include <doctest/doctest.h>

#include <numeric>
#include <set>

#include "engine/autograd.h"
#include "io/torch_weights.h"
#include "layers/models/c3d.h"
#include "layers/models/i3d.h"
#include "layers/models/resnet.h"
#include "layers/models/vgg.h"
#include "layers/models/video_resnet.h"
#include "tests/op_check.h"
#include "tests/parity/formula.h"

namespace engine::parity {
namespace {

using layers::VideoModel;

constexpr int64_t kOutputs = 7, kHidden = 48;
constexpr double kSame = 1e-9;

struct Outcome {
  Tensor eval_logits, train_logits;
  std::vector<NamedTensor> grads, buffers;  // as PyTorch has them; grads: of "input", too
};

std::vector<NamedTensor> state_of(const VideoModel& model) {
  std::vector<NamedTensor> state = model.parameters();
  for (const NamedTensor& each : model.buffers()) state.push_back(each);
  return state;
}

// Parameters and buffers as the formula says, given as a file of PyTorch would.
void fill(const VideoModel& model) {
  std::vector<NamedTensor> values;
  for (const auto& [name, tensor] : to_torch(state_of(model), model.flattened_inputs()))
    values.push_back({name, is_float(tensor.dtype()) ? parameter(name, tensor.shape()) : tensor});
  std::map<std::string, Tensor> ours;
  for (const auto& [name, tensor] : from_torch(values, model.flattened_inputs())) ours[name] = tensor;
  for (const auto& [name, tensor] : state_of(model)) tensor.copy_from(ours.at(name));
}

Outcome run(VideoModel& model, const Shape& input_shape, DType dtype) {
  model.to(dtype);
  fill(model);
  const Tensor clips = cast(permute(draws("input", input_shape), {0, 2, 3, 4, 1}), dtype);
  Outcome result;
  {
    const NoGrad no_grad;
    model.eval();
    result.eval_logits = model(clips);
  }
  model.train();
  clips.set_requires_grad();
  const Tensor logits = model(clips);
  logits.backward(cast(draws("seed", logits.shape()), dtype));
  result.train_logits = logits.detach();
  for (const auto& [name, tensor] : model.parameters()) {
    REQUIRE_MESSAGE(tensor.grad(), name);
    result.grads.push_back({name, tensor.grad()});
  }
  result.grads = to_torch(result.grads, model.flattened_inputs());
  result.grads.push_back({"input", permute(clips.grad(), {0, 4, 1, 2, 3})});
  for (const auto& [name, tensor] : model.buffers()) result.buffers.push_back({name, tensor.clone()});
  return result;
}

double dot(const Tensor& a, const Tensor& b) {
  const auto x = a.values<double>(), y = b.values<double>();
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

// The norm and two projections of every tensor that the fixture has one of, and it has one of all.
void check_digests(const std::map<std::string, Tensor>& expected, const std::string& kind,
                   const std::vector<NamedTensor>& got) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : got) {
    INFO(kind, " ", name);
    const auto found = expected.find(kind + "." + name);
    REQUIRE(found != expected.end());
    names.insert(found->first);
    const auto digest = found->second.values<double>();
    const double norm = digest[0];
    CHECK(norm > 0);
    CHECK(std::abs(std::sqrt(dot(tensor, tensor)) - norm) <= kSame * norm);
    for (size_t i = 0; i < 2; ++i) {
      const Tensor direction = draws(concat("projection", i, ".", name), tensor.shape());
      CHECK(std::abs(dot(tensor, direction) - digest[i + 1]) <= kSame * norm);
    }
  }
  for (const auto& [name, tensor] : expected)
    if (name.starts_with(kind + ".")) CHECK_MESSAGE(names.contains(name), "the model has no ", name);
}

// What rounding to f32 may do to the output of a network: that of every layer in it (relative L2, of sums of K products
// 4 sqrt(K) u, of rounded weights u, of a norm 6e-7), passed on by layers that do not enlarge it.
double rounding_of(const VideoModel& model) {
  double total = 0;
  for (const auto& [name, tensor] : model.parameters()) {
    const auto products = static_cast<double>(tensor.shape().elements(1, tensor.rank()));
    total += tensor.rank() >= 2 ? (4 * std::sqrt(products) + 1) * 0x1p-24 : 0;
  }
  return total + 6e-7 * static_cast<double>(model.buffers().size() / 2);
}

void check_model(VideoModel& model) {
  const auto expected = fixture(model.describe());
  Shape input_shape;
  for (const int64_t size : expected.at("input_shape").values<int64_t>()) input_shape.push_back(size);
  const Outcome exact = run(model, input_shape, DType::f64);
  CHECK(test::relative_l2(exact.eval_logits, expected.at("eval.logits")) <= kSame);
  CHECK(test::relative_l2(exact.train_logits, expected.at("train.logits")) <= kSame);
  check_digests(expected, "grad", exact.grads);
  check_digests(expected, "buffer", exact.buffers);

  const Outcome single = run(model, input_shape, DType::f32);
  const double allowed = rounding_of(model);
  double worst = 0; std::string who;
  MESSAGE(model.describe(), " eval ", test::relative_l2(single.eval_logits, exact.eval_logits) / allowed);
  MESSAGE(model.describe(), " train ", test::relative_l2(single.train_logits, exact.train_logits) / allowed);
  CHECK(test::relative_l2(single.eval_logits, exact.eval_logits) <= allowed);
  CHECK(test::relative_l2(single.train_logits, exact.train_logits) <= allowed);
  for (size_t i = 0; i < exact.grads.size(); ++i) {
    INFO("gradient of ", exact.grads[i].name, " in f32");
    const double e = test::relative_l2(single.grads[i].tensor, exact.grads[i].tensor) / allowed;
    if (e > worst) worst = e, who = exact.grads[i].name;
  }
  MESSAGE(model.describe(), " grads ", worst, " ", who, " allowed ", allowed);
}

}  // namespace

TEST_CASE("resnet18 is torchvision's") {
  Random random(1);
  layers::ResNet model({.outputs = kOutputs}, random, 18);
  check_model(model);
}

TEST_CASE("resnet50 is torchvision's") {
  Random random(1);
  layers::ResNet model({.outputs = kOutputs}, random, 50);
  check_model(model);
}

TEST_CASE("vgg11 is torchvision's, with narrow linear layers") {
  Random random(1);
  layers::Vgg model({.outputs = kOutputs, .dropout = 0}, random, 11, kHidden);
  check_model(model);
}

TEST_CASE("vgg16 is torchvision's, with narrow linear layers") {
  Random random(1);
  layers::Vgg model({.outputs = kOutputs, .dropout = 0}, random, 16, kHidden);
  check_model(model);
}

TEST_CASE("r3d_18, mc3_18 and r2plus1d_18 are torchvision's") {
  using Kind = layers::VideoResNet::Kind;
  for (const Kind kind : {Kind::r3d, Kind::mc3, Kind::r2plus1d}) {
    Random random(1);
    layers::VideoResNet model({.outputs = kOutputs}, random, kind);
    check_model(model);
  }
}

TEST_CASE("c3d in PyTorch, with narrow linear layers") {
  Random random(1);
  layers::C3d model({.outputs = kOutputs, .dropout = 0}, random, kHidden);
  check_model(model);
}

TEST_CASE("i3d in PyTorch") {
  Random random(1);
  layers::I3d model({.outputs = kOutputs, .dropout = 0}, random);
  check_model(model);
}

}  // namespace engine::parity
