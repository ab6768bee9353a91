#include <doctest/doctest.h>

#include <cmath>

#include "layers/drop_path.h"
#include "layers/models/registry.h"
#include "layers/models/sora_cnn.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "layers/sequential.h"
#include "tests/directional.h"

namespace engine::layers {
namespace {

double norm_of(const Tensor& x) {
  double total = 0;
  for (const float value : x.values<float>()) total += double{value} * value;
  return std::sqrt(total);
}

}  // namespace

TEST_CASE("sora-cnn has 373,386 parameters at 10 classes, under these names") {
  const auto model = make_model("sora-cnn", {});
  CHECK(model->parameter_count() == 373386);
  std::vector<std::string> names;
  for (const NamedTensor& each : model->parameters()) names.push_back(each.name);
  CHECK(names == std::vector<std::string>{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "conv3.weight",
                                          "conv3.bias", "head.weight", "head.bias"});
  CHECK(summary(*model).find("conv1: Conv2d 3 to 64, 3x3") != std::string::npos);
}

TEST_CASE("sora-cnn: any frame size and number; the clip's features are the mean over its frames") {
  Random random(1);
  SoraCnn model({.outputs = 4}, random, {5, 6, 7});
  const Tensor clips = uniform({2, 3, 17, 12, 3}, -1, 1, random);
  const Tensor logits = model(clips);
  CHECK(logits.shape() == Shape{2, 4});
  const Tensor features = model.features(clips);
  const Tensor frames = model.features(clips.reshape({6, 1, 17, 12, 3}));
  for (size_t i = 0; i < 7; ++i) {
    const auto f = frames.values<float>();
    CHECK(features.values<float>()[i] == doctest::Approx((f[i] + f[7 + i] + f[14 + i]) / 3).epsilon(1e-5));
  }
  sum(square(logits)).backward();
  for (const NamedTensor& each : model.parameters()) {
    INFO(each.name);
    REQUIRE(each.tensor.grad());
    CHECK(norm_of(each.tensor.grad()) > 0);
  }
  CHECK_THROWS_WITH(model(Tensor::zeros({2, 3, 4, 12, 3})), doctest::Contains("8x8 pixels at least"));
}

TEST_CASE("an unknown model is refused with the known names") {
  CHECK_THROWS_WITH(make_model("sora", {}), doctest::Contains("there are: sora-cnn"));
}

TEST_CASE("starting weights depend on the seed alone and have the variance asked for") {
  const auto a = make_model("sora-cnn", {.seed = 3}), b = make_model("sora-cnn", {.seed = 3}),
             c = make_model("sora-cnn", {.seed = 4});
  const Tensor wa = a->parameters()[2].tensor, wb = b->parameters()[2].tensor, wc = c->parameters()[2].tensor;
  CHECK(std::equal(wa.values<float>().begin(), wa.values<float>().end(), wb.values<float>().begin()));
  CHECK(!std::equal(wa.values<float>().begin(), wa.values<float>().end(), wc.values<float>().begin()));
  // Variance 2 / fan_in with fan_in 64 * 9; 73,728 draws: five deviations are about 2 percent.
  const double variance = std::pow(norm_of(wa), 2) / static_cast<double>(wa.elements());
  CHECK(variance == doctest::Approx(2.0 / 576).epsilon(0.02));
}

TEST_CASE("train and eval reach every layer below") {
  Random random(1);
  Sequential model(
      {std::make_shared<Linear>(4, 4, random), std::make_shared<Dropout>(0.5),
       std::make_shared<Sequential>(std::vector<std::shared_ptr<Module>>{std::make_shared<BatchNorm>(4)})});
  const Tensor x = uniform({8, 4}, -1, 1, random);
  model.eval();
  const Tensor first = model(x), second = model(x);
  CHECK(std::equal(first.values<float>().begin(), first.values<float>().end(), second.values<float>().begin()));
  CHECK(norm_of(model.buffers()[0].tensor) == 0);  // evaluation leaves the running mean alone
  model.train();
  const Tensor third = model(x), fourth = model(x);
  CHECK(!std::equal(third.values<float>().begin(), third.values<float>().end(), fourth.values<float>().begin()));
  CHECK(norm_of(model.buffers()[0].tensor) > 0);
  CHECK(model.buffers()[0].name == "2.0.running_mean");
}

TEST_CASE("the arena: groups in order, aligned, every handle sees the new memory, frozen last") {
  Random random(1);
  Sequential model(
      {std::make_shared<Linear>(5, 7, random), std::make_shared<LayerNorm>(7), std::make_shared<Linear>(7, 3, random)});
  const auto parameters = model.parameters();
  std::vector<std::vector<float>> before;
  for (const NamedTensor& each : parameters)
    before.emplace_back(each.tensor.values<float>().begin(), each.tensor.values<float>().end());
  const ParameterArena arena(parameters, model.buffers(),
                             [](const std::string& name) { return name.starts_with("0."); });

  std::vector<std::string> order;
  for (const auto& slot : arena.slots()) {
    order.push_back(slot.name);
    CHECK(slot.begin * 4 % 256 == 0);
  }
  CHECK(order == std::vector<std::string>{"2.weight", "1.weight", "1.bias", "2.bias", "0.weight", "0.bias"});
  REQUIRE(arena.groups().size() == 4);
  CHECK(arena.groups()[0].decay);
  CHECK(!arena.groups()[1].decay);
  CHECK(arena.groups()[2].frozen);
  CHECK(arena.groups()[1].end == arena.trainable_elements());
  for (size_t i = 0; i < parameters.size(); ++i)
    CHECK(std::equal(before[i].begin(), before[i].end(), parameters[i].tensor.values<float>().begin()));

  const Tensor x = uniform({4, 5}, -1, 1, random);
  arena.zero_grad();
  sum(square(model(x))).backward();
  arena.finish_grad();
  CHECK(norm_of(arena.grads()) > 0);
  CHECK(!parameters[0].tensor.requires_grad());
  const double before_norm = norm_of(arena.grads());
  arena.zero_grad();  // nothing arrives now: every slot must become zero
  arena.finish_grad();
  CHECK(before_norm > 0);
  CHECK(norm_of(arena.grads()) == 0);
}

TEST_CASE("a tensor under two names has one place in the arena") {
  const Tensor shared = Tensor::full({3, 3}, 0.5);
  shared.set_requires_grad();
  const ParameterArena arena({{"a", shared}, {"b", shared}}, {});
  CHECK(arena.slots().size() == 1);
}

TEST_CASE("a module that is a child twice has one place in the arena, and the gradients of both uses") {
  Random random(10);
  const auto shared = std::make_shared<Linear>(3, 3, random), single = std::make_shared<Linear>(3, 3, random);
  Sequential model({shared, single, shared});
  CHECK(model.parameters().size() == 6);
  CHECK(model.parameter_count() == 24);
  const ParameterArena arena(model.parameters(), model.buffers());
  CHECK(arena.slots().size() == 4);
  const Tensor x = normal({4, 3}, 0, 1, random);
  arena.zero_grad();
  sum(square(model(x))).backward();
  const Tensor both = shared->parameters()[0].tensor.grad().clone();
  // The same with a copy in the first place: its gradient and the other's are the parts.
  Linear copy(3, 3, random);
  for (size_t i = 0; i < 2; ++i) copy.parameters()[i].tensor.copy_from(shared->parameters()[i].tensor);
  arena.zero_grad();
  sum(square((*shared)((*single)(copy(x))))).backward();
  const Tensor parts = add(copy.parameters()[0].tensor.grad(), shared->parameters()[0].tensor.grad());
  CHECK(test::largest_difference(both, parts) < 1e-4);
  CHECK(test::largest_difference(both, shared->parameters()[0].tensor.grad()) > 1e-2);
}

TEST_CASE("GroupNorm: its op, with parameters that stay f32") {
  Random random(9);
  GroupNorm norm(2, 6, 0.1);
  CHECK(norm.full_precision() == std::set<std::string>{"weight", "bias"});
  const Tensor x = uniform({2, 3, 6}, -1, 1, random), w = uniform({6}, -1, 1, random), b = uniform({6}, -1, 1, random);
  norm.parameters()[0].tensor.copy_from(w);
  norm.parameters()[1].tensor.copy_from(b);
  CHECK(test::largest_difference(norm(x), group_norm(x, w, b, 2, 0.1)) == 0);
}

TEST_CASE("DropPath drops whole samples, at its rate, the same ones in the same step") {
  StepRandom::current().set_seed(3);
  const auto begin = [](int64_t step) { StepRandom::current().begin_step(Tensor::from<int64_t>({step})); };
  Random random(8);
  DropPath drop(0.2);
  const Tensor x = uniform({10000, 2, 3}, 0.5, 1, random);
  begin(1);
  const Tensor y = drop(x);
  int kept = 0;
  for (size_t n = 0; n < 10000; ++n) {
    const bool stays = y.values<float>()[6 * n] != 0;
    kept += stays;
    for (size_t i = 6 * n; i < 6 * n + 6; ++i)
      REQUIRE(y.values<float>()[i] == doctest::Approx(stays ? x.values<float>()[i] / 0.8 : 0.0));
  }
  CHECK(std::abs(kept - 8000) < 200);  // five deviations of 40
  begin(1);
  CHECK(test::largest_difference(drop(x), y) == 0);
  begin(2);
  CHECK(test::largest_difference(drop(x), y) > 0.5);
  begin(1);
  const Tensor leaf = x.clone().set_requires_grad();
  sum(drop(leaf)).backward();
  CHECK(test::largest_difference(mul(leaf.grad(), x), y) < 1e-6);
  drop.eval();
  CHECK(drop(x).is(x));
}

TEST_CASE("the whole model's gradient equals differences in f64") {
  // sora-cnn in small, its parameters in f64; the derivative along random directions in parameter space.
  Random random(5);
  SoraCnn model({.outputs = 3}, random, {4, 5, 6});
  model.to(DType::f64);
  const Tensor clips = uniform({2, 2, 9, 8, 3}, -1, 1, random, DType::f64);
  const Tensor labels = Tensor::from<int64_t>({2, 0});
  // A short step: max pooling and ReLU have kinks.
  test::check_directional(
      model.parameters(), [&] { return cross_entropy(model(clips), labels); }, random, 1e-5);
}

}  // namespace engine::layers
