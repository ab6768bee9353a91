// Every network of the registry: sizes, shapes, gradients, refusals.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd.h"
#include "layers/conv3d.h"
#include "layers/models/c3d.h"
#include "layers/models/i3d.h"
#include "layers/models/parts.h"
#include "layers/models/registry.h"
#include "layers/models/vgg.h"
#include "layers/pool.h"
#include "train/optimizer.h"

namespace engine::layers {
namespace {

constexpr int64_t kOutputs = 5, kHidden = 16, kWideHidden = 4096;

double norm_of(const Tensor& x) { return std::sqrt(sum(square(cast(x.detach(), DType::f32))).item()); }

struct Row {
  const char* name;
  int64_t parameters;  // at kOutputs
  Shape clips;
};

// Parameters of torchvision's models at 1000 or 400 outputs, less the rows of their last layer that are not there here.
const Row kRows[] = {
    {"resnet18", 11'689'512 - 995 * 513, {2, 2, 40, 33, 3}},
    {"resnet50", 25'557'032 - 995 * 2049, {1, 2, 33, 40, 3}},
    {"r3d_18", 33'371'472 - 395 * 513, {2, 3, 16, 19, 3}},
    {"mc3_18", 11'695'440 - 395 * 513, {2, 2, 17, 16, 3}},
    {"r2plus1d_18", 31'505'325 - 395 * 513, {2, 3, 16, 19, 3}},
    {"i3d", 12'697'264 - 395 * 1025, {2, 5, 33, 34, 3}},
};

// Runs a step forward and backward; every parameter must get a gradient.
void check_step(VideoModel& model, const Shape& shape) {
  Random random(9);
  const Tensor clips = uniform(shape, -1, 1, random);
  const Tensor features = model.features(clips), logits = model(clips);
  CHECK(features.shape() == Shape{shape[0], model.feature_count()});
  CHECK(logits.shape() == Shape{shape[0], kOutputs});
  sum(mul(logits, uniform(logits.shape(), -1, 1, random))).backward();
  for (const NamedTensor& each : model.parameters()) {
    INFO(each.name);
    REQUIRE(each.tensor.grad());
    CHECK(norm_of(each.tensor.grad()) > 0);
    CHECK(std::isfinite(norm_of(each.tensor.grad())));
  }
}

void check_refusals(VideoModel& model, const Shape& good, int64_t least_side) {
  const std::string sizes = concat(least_side, "x", least_side, " pixels at least");
  const auto zeros = [&](int axis, int64_t size) {
    Shape shape = good;
    shape[axis] = size;
    return Tensor::zeros(shape);
  };
  for (const Tensor& bad : {zeros(4, 4), zeros(2, least_side - 1), zeros(3, least_side - 1), zeros(1, 0)})
    CHECK_THROWS_WITH(model(bad), doctest::Contains(sizes.c_str()));
  CHECK_THROWS_AS(model(Tensor::zeros({1, 64, 64, 3})), Error);
}

void check_bf16_steps(VideoModel& model, const Shape& shape) {
  const std::set<std::string> full = model.full_precision();
  const ParameterArena arena(model.parameters(), model.buffers(), {},
                             [&](const std::string& each) { return full.contains(each); });
  Optimizer optimizer(arena, {});
  Random random(2);
  const Tensor clips = uniform(shape, -1, 1, random, DType::bf16);
  const Tensor labels = Tensor::zeros({shape[0]}, DType::i64);
  for (int64_t& label : labels.values<int64_t>()) label = static_cast<int64_t>(random.below(kOutputs));
  double last = 0;
  for (int step = 1; step <= 2; ++step) {
    optimizer.begin_step(step, 1e-4);
    arena.zero_grad();
    const Tensor loss = cross_entropy(model(clips), labels);
    loss.backward();
    optimizer.update();
    CHECK(!optimizer.skipped());
    CHECK(std::isfinite(loss.item()));
    if (step == 2) CHECK(loss.item() < last);
    last = loss.item();
  }
}

// That of He et al. by outputs, in every convolution.
void check_starting_variance(const VideoModel& model) {
  for (const auto& [name, weight] : model.parameters()) {
    if (weight.rank() < 4) continue;
    const auto fan_out = static_cast<double>(weight.shape().elements(0, weight.rank() - 1));
    CHECK(mean(square(weight.detach())).item() == doctest::Approx(2 / fan_out).epsilon(1e-4));
  }
}

}  // namespace

TEST_CASE("networks of the registry: parameters, shapes, gradients, refusals") {
  std::set<std::string> seen;
  for (const Row& row : kRows) {
    INFO(row.name);
    seen.insert(row.name);
    const auto model = make_model(row.name, {.outputs = kOutputs});
    CHECK(model->describe() == row.name);
    CHECK(model->parameter_count() == row.parameters);
    if (model->describe() != "i3d") check_starting_variance(*model);
    check_step(*model, row.clips);
    check_refusals(*model, row.clips, 1);
  }
  for (const char* other : {"sora-cnn", "sora-serial", "sora-fusion", "vgg11", "vgg16", "c3d"}) seen.insert(other);
  for (const std::string& name : model_names()) CHECK_MESSAGE(seen.contains(name), name, " has no row here");
}

TEST_CASE("networks with wide linear layers, narrow here: parameters, shapes, gradients, refusals") {
  Random random(1);
  const auto linear_layers = [](int64_t inputs, int64_t hidden, int64_t outputs) {
    return (inputs + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * outputs;
  };
  const ModelOptions options{.outputs = kOutputs, .dropout = 0.25};
  for (const int depth : {11, 16}) {
    Vgg model(options, random, depth, kHidden);
    INFO(model.describe());
    const int64_t convolutions = model.parameter_count() - linear_layers(25088, kHidden, kOutputs);
    CHECK(convolutions + linear_layers(25088, kWideHidden, 1000) == (depth == 11 ? 132'863'336 : 138'357'544));
    check_step(model, {1, 2, 64, 33, 3});
    check_refusals(model, {1, 2, 64, 33, 3}, 32);
  }
  C3d model(options, random, kHidden);
  const int64_t convolutions = model.parameter_count() - linear_layers(8192, kHidden, kOutputs);
  CHECK(convolutions + linear_layers(8192, kWideHidden, 101) == 78'409'573);
  check_step(model, {2, 3, 33, 16, 3});
  check_refusals(model, {2, 3, 33, 16, 3}, 16);
}

TEST_CASE("a network without a head has features only") {
  const auto model = make_model("i3d", {.outputs = 0, .channels = 2});
  Random random(1);
  const Tensor clips = uniform({1, 3, 16, 17, 2}, -1, 1, random);
  model->eval();
  CHECK(model->features(clips).shape() == Shape{1, 1024});
  CHECK_THROWS_WITH(model->operator()(clips), "i3d: it was made without a head");
}

TEST_CASE("training in bf16 with f32 masters: steps are finite and the loss falls") {
  for (const Row& row : kRows) {
    INFO(row.name);
    check_bf16_steps(*make_model(row.name, {.outputs = kOutputs, .dropout = 0.0}), row.clips);
  }
  const ModelOptions options{.outputs = kOutputs, .dropout = 0.0};
  Random random(1);
  Vgg vgg11(options, random, 11, kHidden), vgg16(options, random, 16, kHidden);
  check_bf16_steps(vgg11, {1, 2, 32, 33, 3});
  check_bf16_steps(vgg16, {1, 2, 32, 33, 3});
  C3d c3d(options, random, kHidden);
  check_bf16_steps(c3d, {2, 3, 33, 16, 3});
}

TEST_CASE("Conv3d as images gives what conv3d gives") {
  Random random(3);
  const Tensor x = uniform({2, 5, 6, 7, 4}, -1, 1, random, DType::f64);
  x.set_requires_grad();
  struct Shaped {
    Space kernel;
    engine::Conv3d conv;
  };
  for (const auto& [kernel, conv] :
       {Shaped{{1, 3, 2}, {1, 2, 1, 0, 1, 1, 1, 1, 2, 2}}, Shaped{{3, 1, 1}, {2, 1, 1, 2, 0, 0, 2, 1, 1, 2}},
        Shaped{{1, 1, 1}, {1, 1, 1}}, Shaped{{1, 3, 3}, {2, 1, 1}}, Shaped{{2, 1, 1}, {1, 1, 2}}}) {
    Conv3d layer(4, 6, random, {.kernel = kernel, .conv = conv, .activation = {Unary::relu}});
    INFO(layer.describe());
    layer.to(DType::f64);
    const auto parameters = layer.parameters();
    const Tensor weight = parameters[0].tensor.clone(), bias = uniform({6}, -1, 1, random, DType::f64);
    parameters[1].tensor.copy_from(bias);
    weight.set_requires_grad();
    x.zero_grad();
    const Tensor y = layer(x), seed = uniform(y.shape(), -1, 1, random, DType::f64);
    y.backward(seed);
    const Tensor dx = x.grad();
    x.zero_grad();
    const Tensor expected = conv3d(x, weight, bias, conv, {Unary::relu});
    expected.backward(seed);
    REQUIRE(y.shape() == expected.shape());
    const NoGrad no_grad;
    CHECK(max(abs(sub(y, expected)), 0, 4).item() <= 1e-14);
    CHECK(max(abs(sub(dx, x.grad())), 0, 4).item() <= 1e-14);
    CHECK(max(abs(sub(parameters[0].tensor.grad(), weight.grad())), 0, 4).item() <= 1e-13);
  }
  CHECK_THROWS_WITH(Conv3d(4, 6, random, {.conv = {.groups = 4}}), doctest::Contains("do not divide into 4 groups"));
}

TEST_CASE("layers that pool clips") {
  Random random(4);
  const Tensor x = uniform({1, 3, 4, 5, 2}, -1, 1, random);
  const Pool3d pool{.kernel_t = 1, .stride_t = 1};
  MaxPool3d most(pool);
  AveragePool3d average(pool);
  CHECK(norm_of(sub(most(x), max_pool3d(x, pool))) == 0);
  CHECK(norm_of(sub(average(x), average_pool3d(x, pool))) == 0);
  CHECK(most.describe() == "MaxPool3d 1x2x2");
  CHECK(average.describe() == "AveragePool3d 1x2x2");
}

TEST_CASE("inflated weights give on a clip that does not move what they gave on its frame") {
  Random random(5);
  const Tensor frame = uniform({1, 6, 7, 3}, -1, 1, random, DType::f64);
  const Tensor weight = uniform({4, 3, 3, 3}, -1, 1, random, DType::f64);
  const Tensor clip = concat(std::vector<Tensor>(5, frame.reshape({1, 1, 6, 7, 3})), 1);
  const Tensor of_clip = conv3d(clip, inflate(weight, 3), {}, {.pad_h = 1, .pad_w = 1});
  const Tensor of_frame = conv2d(frame, weight, {}, {.pad_h = 1, .pad_w = 1});
  CHECK(of_clip.shape() == Shape{1, 3, 6, 7, 4});
  for (int64_t t = 0; t < 3; ++t)
    CHECK(max(abs(sub(of_clip.flatten(0, 1).slice(t, t + 1), of_frame)), 0, 3).item() <= 1e-14);
  CHECK_THROWS_WITH(inflate(weight, 0), doctest::Contains("a depth of 1 at least"));
}

}  // namespace engine::layers
