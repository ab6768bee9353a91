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
#include "tests/parity/formula.h"

namespace engine::parity {
namespace {

using layers::VideoModel;

constexpr int64_t kOutputs = 7, kHidden = 48;
constexpr double kSame = 1e-9;

struct Outcome {
  Tensor logits, input_grad;
  std::vector<NamedTensor> grads;
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

Outcome run(VideoModel& model, const Tensor& clips, bool training) {
  for (const auto& [name, tensor] : model.parameters()) tensor.zero_grad();
  clips.zero_grad();
  clips.set_requires_grad();
  model.train(training);
  const Tensor logits = model(clips);
  logits.backward(cast(draws("seed", logits.shape()), clips.dtype()));
  Outcome result{logits.detach(), clips.grad(), {}};
  for (const auto& [name, tensor] : model.parameters()) {
    REQUIRE_MESSAGE(tensor.grad(), name);
    result.grads.push_back({name, tensor.grad()});
  }
  return result;
}

double dot(const Tensor& a, const Tensor& b) {
  const auto x = a.values<double>(), y = b.values<double>();
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

double squared_distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const NoGrad no_grad;
  const Tensor difference = sub(cast(a.detach(), DType::f64), b.detach());
  return dot(difference, difference);
}

double relative_l2(const Tensor& got, const Tensor& expected) {
  return std::sqrt(squared_distance(got, expected) / dot(expected, expected));
}

// Of all of them together.
double relative_l2(const std::vector<NamedTensor>& got, const std::vector<NamedTensor>& expected) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += squared_distance(got[i].tensor, expected[i].tensor);
    norm += dot(expected[i].tensor, expected[i].tensor);
  }
  return std::sqrt(error / norm);
}

// The norm and two projections of every tensor; the fixture has these of each, and of no other.
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

// What rounding to f32 may do to the output of a network: what it does to that of every layer (relative L2: of sums of
// K products 4 sqrt(K) u, of rounded weights u, of a norm 6e-7), passed on by layers that do not enlarge it.
double rounding_of(const VideoModel& model) {
  double total = 6e-7 * static_cast<double>(model.buffers().size() / 2);
  for (const auto& [name, tensor] : model.parameters())
    if (tensor.rank() >= 2)
      total += (4 * std::sqrt(static_cast<double>(tensor.shape().elements(1, tensor.rank()))) + 1) * 0x1p-24;
  return total;
}

void check_model(VideoModel& model) {
  const auto expected = fixture(model.describe());
  Shape shape;
  for (const int64_t size : expected.at("input_shape").values<int64_t>()) shape.push_back(size);
  const Tensor clips = permute(draws("input", shape), {0, 2, 3, 4, 1});
  model.to(DType::f64);
  fill(model);
  std::vector<Tensor> starting_buffers;
  for (const auto& [name, buffer] : model.buffers()) starting_buffers.push_back(buffer.clone());

  const Outcome exact = run(model, clips, false), trained = run(model, clips, true);
  CHECK(relative_l2(exact.logits, expected.at("eval.logits")) <= kSame);
  CHECK(relative_l2(trained.logits, expected.at("train.logits")) <= kSame);
  std::vector<NamedTensor> grads = to_torch(trained.grads, model.flattened_inputs());
  grads.push_back({"input", permute(trained.input_grad, {0, 4, 1, 2, 3})});
  check_digests(expected, "grad", grads);
  check_digests(expected, "buffer", model.buffers());

  // f32 in evaluation: statistics of the few numbers that these inputs leave in the last maps would enlarge rounding.
  for (size_t i = 0; i < starting_buffers.size(); ++i) model.buffers()[i].tensor.copy_from(starting_buffers[i]);
  model.to(DType::f32);
  const Outcome single = run(model, cast(clips.detach(), DType::f32), false);
  const double allowed = rounding_of(model);
  CHECK(relative_l2(single.logits, exact.logits) <= allowed);
  // Where an error of d moves the sides of ReLUs and maxima, about the share d of them, the terms of these change
  // wholly: the square root of d in L2.
  CHECK(relative_l2(single.grads, exact.grads) <= std::sqrt(allowed));
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
