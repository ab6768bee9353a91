// What is told of a training before it and when it goes wrong, and paths that are dropped.
#include <limits>

#include "engine/autograd.h"
#include "io/host_memory.h"
#include "layers/models/registry.h"
#include "train/memory_plan.h"
#include "train/op_watch.h"
#include "train/overfit.h"
#include "training_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

TEST_CASE("memory plan: tells what a step takes, and what would fit") {
  for (const bool bn : {false, true}) {
    CAPTURE(bn);
    ModelFile file = description(3, 3, 24);
    if (bn) file = normed(file);
    TrainerOptions options = constant_rate(1e-3);
    options.ema = 0.9;
    const MemoryPlan plan = plan_training(file, options, 6, 1000);
    const auto parameters = Classifier(file).network().parameter_count();
    CHECK(plan.gradients == 4 * parameters);
    CHECK(plan.optimizer == 8 * parameters);
    CHECK(plan.weights >= 8 * parameters);
    CHECK(plan.loader == 1000);
    CHECK(plan.free > 0);
    CHECK(plan.free <= host_memory());
    REQUIRE(!plan.largest.empty());
    if (bn) {  // 12x12x7 behind the second convolution, whose input of 12x12x5 comes third
      REQUIRE(plan.largest.size() == 3);

      CHECK(plan.largest[0] == MemoryPlan::LargeTensor{"conv2d", {3, 24, 24, 3}});
      CHECK(plan.largest[1].shape.elements() == 3 * 12 * 12 * 7);
      CHECK(plan.largest[2] == MemoryPlan::LargeTensor{"batch_norm", {1, 3, 12, 12, 5}});
      CHECK(largest_tensors(plan).find("the largest tensors, of each clip: conv2d's input (3,24,24,3) 0.0 MiB, ") == 0);
    }
    // What a step really takes.
    Classifier classifier(file);
    Trainer trainer(classifier, options);
    const Batch batch = noise_batch(file, 6);
    trainer.step(batch);
    const OpWatch peak;
    trainer.step(batch);
    const auto taken = static_cast<double>(peak.taken());
    CAPTURE(taken);
    CHECK(static_cast<double>(plan.activations()) > 0.8 * taken);
    CHECK(static_cast<double>(plan.activations()) < 1.5 * taken);
    options.compute = DType::bf16;
    const MemoryPlan narrow = plan_training(file, options, 6, 1000);
    CHECK(narrow.gradients == 2 * parameters);
    CHECK(narrow.weights == plan.weights + 2 * parameters);
  }
  MemoryPlan plan{
      .weights = 10, .gradients = 10, .optimizer = 20, .per_clip = 7, .per_step = 5, .clips = 32, .free = 115};
  CHECK(!plan.fits());
  CHECK(plan.fitting_clips() == 10);
  CHECK(advice(plan, 1) == "try --batch 8 --accumulate 4");
  CHECK(advice(plan, 3) == "try --batch 8 --accumulate 12");
  plan.kept = 2.5;
  CHECK(plan.total() == 40 + 572);
  plan.free = 230;
  CHECK(plan.fitting_clips() == 10);
  plan.free = 40;
  CHECK(advice(plan, 1).find("not one clip") == 0);
  plan.free = 0;
  CHECK(plan.fits());
  CHECK(plan.fitting_clips() == 32);
  CHECK(advice(plan, 1) == "try --batch 16 --accumulate 2");
}

TEST_CASE("divergence: the first layer or gradient that is not finite is named") {
  const ModelFile file = normed(description(2));
  Batch batch = noise_batch(file, 4);
  TrainerOptions options = constant_rate(0.1);
  options.most_skipped = 0;
  const auto message = [&](Trainer& trainer) { return refusal([&] { trainer.step(batch); }, exit_code::kNotFinite); };
  {
    Classifier classifier(file);
    Trainer trainer(classifier, options);
    CHECK(!trainer.step(batch).skipped);
    for (const NamedTensor& each : classifier.network().parameters())
      if (each.name == "second.weight") fill(each.tensor, 3e38);
    const std::string text = message(trainer);
    CAPTURE(text);
    CHECK(text.find("training diverged at step 2 (clips 0, 1, 2, ...): the loss is ") == 0);
    CHECK(text.find("the gradients of this step are not finite, first the output of layer 'second'; try") !=
          std::string::npos);
    CHECK(!layers::Module::on_output);
  }
  Classifier classifier(file);
  options.objective.weights = Tensor::from({1.0f, std::numeric_limits<float>::quiet_NaN()});
  Trainer trainer(classifier, options);
  CHECK(message(trainer).find(", first the gradient of 'head.bias'; try") != std::string::npos);
}

TEST_CASE("overfit: one batch is learnt by heart, or it is said that it is not") {
  const ModelFile file = description(3);
  Batch batch = noise_batch(file, 6);
  Classifier a(file), b(file);
  Trainer trainer(a, constant_rate(3e-3));
  const OverfitResult good = overfit(trainer, batch, 300);
  CHECK(good.learnt());
  CHECK(good.first_loss > 1);
  CHECK(good.loss <= kLearntLoss);
  CHECK(good.steps < 300);
  for (uint8_t& pixel : batch.frames.values<uint8_t>()) pixel = 77;  // alike, with different labels
  Trainer hopeless(b, constant_rate(3e-3));
  int asked = 0;
  const OverfitResult bad = overfit(hopeless, batch, 30, [&](const OverfitResult& at) { return at.steps == ++asked; });
  CHECK(!bad.learnt());
  CHECK(bad.steps == 30);
  CHECK(bad.loss > 1);
}

TEST_CASE("drop path: by depth, only in training, only where there are residual branches") {
  const layers::ModelOptions plain{.outputs = 4};
  layers::ModelOptions dropping = plain;
  dropping.drop_path = 0.5;
  for (const std::string name : {"resnet18", "mc3_18"}) {
    CAPTURE(name);
    const auto model = layers::make_model(name, dropping), same = layers::make_model(name, plain);
    std::vector<std::string> rates;
    model->visit([&](const std::string& path, const layers::Module& module) {
      if (path.ends_with("drop_path")) rates.push_back(module.describe().substr(8, 6));
    });
    REQUIRE(rates.size() == 7);  // of eight blocks, the first never drops
    CHECK(rates[0] == "0.0714");
    CHECK(rates[6].substr(0, 3) == "0.5");
    CHECK(model->parameters().size() == same->parameters().size());
    Random random(5);
    const Tensor clip = uniform({2, 2, 16, 16, 3}, -1, 1, random);
    const NoGrad no_grad;
    const auto out = [&](layers::VideoModel& each) { return numbers({{"", each(clip)}}); };
    model->eval(), same->eval();
    CHECK(largest_difference(out(*model), out(*same)) < 1e-4);
    model->train();
    StepRandom::current().begin_step(Tensor::full({1}, 1.0, DType::i64));
    const std::vector<double> first = out(*model);
    StepRandom::current().begin_step(Tensor::full({1}, 2.0, DType::i64));
    CHECK(out(*model) != first);
  }
  CHECK(refusal([&] { layers::make_model("sora-cnn", dropping); }, exit_code::kUsage) ==
        "model 'sora-cnn' has no residual branches to drop");
  CHECK(refusal([&] { layers::make_model("sora-serial", dropping); }, exit_code::kUsage).find("no residual") !=
        std::string::npos);
  dropping.backbone = "resnet18";
  dropping.size = "tiny";
  int64_t count = 0;
  layers::make_model("sora-serial", dropping)->visit([&](const std::string& path, layers::Module&) {
    count += path.ends_with("drop_path") ? 1 : 0;
  });
  CHECK(count == 7);
}

TEST_CASE("recompute: the same bytes with less memory") {
  for (const std::string name : {"sora-cnn", "resnet18", "r2plus1d_18", "sora-serial"}) {
    for (const DType compute : {DType::f32, DType::bf16}) {
      if (compute == DType::bf16 && name != "sora-cnn") continue;
      CAPTURE(name);
      ModelFile file = description(3, 3, name == "resnet18" ? 44 : 18);
      file.model = name;
      if (name == "sora-serial") file.model_options = {{"size", "tiny"}, {"dropout", "0.3"}};
      if (name == "resnet18" || name == "r2plus1d_18") file.model_options["drop_path"] = "0.5";
      const Batch batch = noise_batch(file, 4);
      const auto trained = [&](bool recompute) {
        TrainerOptions options = constant_rate(1e-3);
        options.recompute = recompute;
        options.compute = compute;
        if (name == "sora-cnn") options.is_frozen = [](const std::string& each) { return each.starts_with("conv2"); };
        Classifier classifier(file);
        Trainer trainer(classifier, options);
        trainer.step(batch);
        const OpWatch peak;
        trainer.step(batch);
        return std::pair(encode_safetensors(to_tensor_file(trainer.file())), peak.taken());
      };
      const auto [kept, all] = trained(false);
      const auto [again, less] = trained(true);
      CHECK((again == kept));
      CAPTURE(all);
      CAPTURE(less);
      CHECK(static_cast<double>(less) < 0.85 * static_cast<double>(all));
    }
  }
  TrainerOptions options = constant_rate(1e-3);
  options.recompute = true;
  const ModelFile file = normed(description(3));
  Classifier classifier(file);
  CHECK(refusal([&] { Trainer(classifier, options); }, exit_code::kUsage) ==
        "model 'small' has no parts to compute again; leave out --recompute");
}
