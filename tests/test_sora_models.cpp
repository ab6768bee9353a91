#include <doctest/doctest.h>

#include "layers/models/registry.h"
#include "layers/models/sora_fusion.h"
#include "layers/models/sora_serial.h"
#include "tests/directional.h"
#include "train/trainer.h"

namespace engine::layers {
namespace {

const char* const kModels[] = {"sora-serial", "sora-fusion"};
const SoraSize kToy{"toy", {3, 4, 5}, 6, 2, 1};

std::shared_ptr<SoraVideo> toy(const std::string& name, const ModelOptions& options) {
  Random random(options.seed);
  if (name == "sora-serial") return std::make_shared<SoraSerial>(options, random, kToy);
  return std::make_shared<SoraFusion>(options, random, kToy);
}

// Weights and bias of a linear layer or a convolution.
int64_t affine_count(int64_t inputs, int64_t outputs) { return (inputs + 1) * outputs; }

int64_t expected_count(const std::string& name, const SoraSize& size, int64_t channels, int64_t outputs) {
  const int64_t d = size.features, cell = size.cnn[2];
  const int64_t cnn = affine_count(9 * channels, size.cnn[0]) + affine_count(9 * size.cnn[0], size.cnn[1]) +
                      affine_count(9 * size.cnn[1], cell);
  const int64_t norm = 2 * d, attention = affine_count(d, 3 * d) + affine_count(d, d);
  const int64_t feed_forward = affine_count(d, 4 * d) + affine_count(4 * d, d);
  const int64_t lstm = 4 * d * (d + d + 2);
  const int64_t encoder = size.layers * (attention + feed_forward + 2 * norm) + norm;
  const int64_t decoder = size.layers * (2 * attention + feed_forward + 3 * norm) + norm;
  const auto embedding = [&](int64_t inputs) { return affine_count(inputs, d) + inputs * d + 2 * norm; };
  int64_t count = cnn + embedding(16 * cell) + lstm + encoder + affine_count(d, outputs);
  if (name == "sora-fusion") count += embedding(cell) + decoder;
  return count;
}

}  // namespace

TEST_CASE("sora-serial and sora-fusion: sizes, and small if none is asked for") {
  for (const std::string name : kModels) {
    INFO(name);
    for (const std::string size : {"tiny", "small", "base"})
      CHECK(make_model(name, {.outputs = 7, .channels = 6, .size = size})->parameter_count() ==
            expected_count(name, sora_size(size), 6, 7));
    CHECK(make_model(name, {})->parameter_count() == expected_count(name, sora_size("small"), 3, 10));
    try {
      make_model(name, {.size = "huge"});
      FAIL("made");
    } catch (const Error& error) {
      CHECK(error.code() == exit_code::kUsage);
      CHECK(std::string(error.what()) == "model size 'huge': no such size; there are: tiny, small, base");
    }
  }
  CHECK(make_model("sora-fusion", {.size = "tiny"})->parameter_count() == 314410);
}

TEST_CASE("sora-serial and sora-fusion: any frame size and number; gradients reach every parameter") {
  Random random(1);
  for (const std::string name : kModels) {
    INFO(name);
    const auto model = toy(name, {.outputs = 3});
    CHECK(model->feature_count() == 6);
    for (const Shape& shape : {Shape{2, 5, 19, 34, 3}, {1, 1, 8, 8, 3}, {3, 2, 32, 32, 3}}) {
      const Tensor clips = uniform(shape, -1, 1, random);
      CHECK(model->features(clips).shape() == Shape{shape[0], 6});
      CHECK((*model)(clips).shape() == Shape{shape[0], 3});
    }
    sum(square((*model)(uniform({2, 4, 19, 34, 3}, -1, 1, random)))).backward();
    for (const NamedTensor& each : model->parameters()) {
      INFO(each.name);
      REQUIRE(each.tensor.grad());
      CHECK(test::largest_difference(each.tensor.grad(), Tensor::zeros_like(each.tensor)) > 0);
    }
    CHECK_THROWS_WITH((*model)(Tensor::zeros({2, 8, 8, 3})), doctest::Contains("expected clips (N,T,H,W,3)"));
    const auto headless = toy(name, {.outputs = 0});
    CHECK(headless->features(Tensor::zeros({1, 2, 8, 8, 3})).shape() == Shape{1, 6});
    CHECK_THROWS_WITH((*headless)(Tensor::zeros({1, 2, 8, 8, 3})), doctest::Contains("made without a head"));
  }
}

TEST_CASE("sora-serial and sora-fusion see the order of frames, and every clip by itself") {
  Random random(2);
  for (const std::string name : kModels) {
    INFO(name);
    const auto model = toy(name, {});
    model->eval();
    const Tensor clips = uniform({2, 3, 12, 12, 3}, -1, 1, random);
    const Tensor all = model->features(clips);
    CHECK(test::largest_difference(all.slice(1, 2), model->features(clips.slice(1, 2))) < 1e-5);
    const Tensor frames = clips.slice(0, 1).reshape({3, 12, 12, 3});
    const Tensor backwards = concat({frames.slice(2, 3), frames.slice(1, 2), frames.slice(0, 1)}, 0);
    CHECK(test::largest_difference(all.slice(0, 1), model->features(backwards.reshape({1, 3, 12, 12, 3}))) > 1e-3);
  }
}

TEST_CASE("sora-serial and sora-fusion: dropout in training only, of 0.1 unless told otherwise") {
  Random random(3);
  const Tensor clips = uniform({2, 3, 12, 12, 3}, -1, 1, random);
  for (const std::string name : kModels) {
    const auto moves = [&](const ModelOptions& options, bool training) {
      const auto model = toy(name, options);
      model->train(training);
      return test::largest_difference((*model)(clips), (*model)(clips)) > 0;
    };
    CHECK(moves({}, true));
    CHECK(!moves({}, false));
    CHECK(!moves({.dropout = 0.0}, true));
  }
}

TEST_CASE("the gradients of sora-serial and sora-fusion equal differences in f64") {
  Random random(4);
  for (const std::string name : kModels) {
    INFO(name);
    const auto model = toy(name, {.outputs = 3, .dropout = 0.0});
    model->to(DType::f64);
    const Tensor clips = uniform({2, 3, 17, 12, 3}, -1, 1, random, DType::f64);
    const Tensor labels = Tensor::from<int64_t>({2, 0});
    // A short step: max pooling and ReLU have kinks.
    test::check_directional(
        model->parameters(), [&] { return cross_entropy((*model)(clips), labels); }, random, 1e-5);
  }
}

TEST_CASE("sora-serial and sora-fusion: a step of the trainer in bf16 gives finite weights and a falling loss") {
  for (const std::string name : kModels) {
    INFO(name);
    ModelFile file;
    file.model = name;
    file.classes = {"a", "b", "c"};
    file.preprocessing.frames = 3;
    file.preprocessing.height = file.preprocessing.width = 16;
    Classifier classifier(file);
    TrainerOptions options;
    options.schedule = {.kind = ScheduleKind::constant, .peak = 1e-4};
    options.compute = DType::bf16;
    Trainer trainer(classifier, options);
    Random random(5);
    Batch batch;
    batch.frames = Tensor::empty({2, 3, 16, 16, 3}, DType::u8);
    for (uint8_t& pixel : batch.frames.values<uint8_t>()) pixel = static_cast<uint8_t>(random.below(256));
    batch.labels = Tensor::from<int64_t>({1, 2});
    batch.items = {0, 1};
    const double loss = trainer.step(batch).loss;
    CHECK(loss > 0.3);
    CHECK(loss < 3);
    CHECK(trainer.finite());
    CHECK(trainer.step(batch).loss < loss);
  }
}

TEST_CASE("a network on frames can be any that works on frames") {
  const auto frames = make_frame_model("sora-cnn", {.outputs = 0, .channels = 4});
  CHECK(frames->map(Tensor::zeros({2, 16, 24, 4})).shape() == Shape{2, 2, 3, 256});
  CHECK_THROWS_WITH(make_frame_model("sora-serial", {}), "model 'sora-serial' does not work on single frames");
  const auto model = make_model("sora-serial", {.size = "tiny", .backbone = "sora-cnn"});
  SoraSize wide = sora_size("tiny");
  wide.cnn = {64, 128, 256};
  CHECK(model->parameter_count() == expected_count("sora-serial", wide, 3, 10));
  CHECK_THROWS_WITH(make_model("sora-fusion", {.backbone = "sora-fusion"}), doctest::Contains("single frames"));
}

}  // namespace engine::layers
