#include <cmath>
#include <limits>

#include "engine/autograd.h"
#include "tests/training_fixtures.h"
#include "train/data_options.h"
#include "train/evaluate.h"
#include "train/trainer.h"

using namespace engine;
using namespace engine::fixtures;
using program_run::TemporaryFolder;

namespace {

std::string bytes_of(const Classifier& classifier) { return encode_safetensors(to_tensor_file(classifier.file())); }

LoaderOptions loader_options(int batch, int workers, bool training) {
  LoaderOptions options;
  options.clip = clip_options(description(10, 2).preprocessing);
  options.batch = batch;
  options.workers = workers;
  options.training = options.shuffle = training;
  options.seed = 5;
  return options;
}

ModelFile video_model(double dropout = 0) {
  ModelFile file = description(0, 2);
  file.classes = videos().train.classes;
  file.model_options["dropout"] = std::to_string(dropout);
  return file;
}

// The bytes of the model after two epochs.
std::string trained_bytes(int workers, uint64_t seed) {
  Classifier classifier(video_model(0.2));
  TrainerOptions options = constant_rate(1e-3);
  options.seed = seed;
  Trainer trainer(classifier, options);
  Loader loader(videos().train, loader_options(6, workers, true));
  fit(trainer, loader, nullptr, {.epochs = 2});
  return bytes_of(classifier);
}

}  // namespace

TEST_CASE("trainer: learns one batch by heart, with every optimizer") {
  const auto loss_after = [](OptimizerKind kind, double rate) {
    const ModelFile file = description(4);
    Classifier classifier(file);
    TrainerOptions options = constant_rate(rate);
    options.optimizer.kind = kind;
    options.optimizer.clip_norm = 5;
    Trainer trainer(classifier, options);
    const Batch batch = noise_batch(file, 8);
    const double first = trainer.step(batch).loss;
    CHECK(first == doctest::Approx(std::log(4.0)).epsilon(0.3));
    double loss = first;
    for (int step = 0; step < 80 && loss > 0.05; ++step) loss = trainer.step(batch).loss;
    return loss;
  };
  CHECK(loss_after(OptimizerKind::adamw, 3e-3) < 0.05);
  CHECK(loss_after(OptimizerKind::adam, 3e-3) < 0.05);
  CHECK(loss_after(OptimizerKind::sgd, 3e-2) < 0.05);
}

TEST_CASE("trainer: the same seed gives the same bytes, whatever the number of workers") {
  const std::string expected = trained_bytes(0, 7);
  CHECK((trained_bytes(0, 7) == expected));
  CHECK((trained_bytes(1, 7) == expected));
  CHECK((trained_bytes(4, 7) == expected));
  CHECK((trained_bytes(0, 8) != expected));
}

TEST_CASE("trainer: from the state after any step a fresh trainer goes on to the same bytes") {
  constexpr int64_t kSteps = 4;
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    for (const DType compute : {DType::f32, DType::bf16}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(compute);
      ModelFile file = description(3);
      file.model_options["dropout"] = "0.3";
      TrainerOptions options = constant_rate(3e-3);
      options.optimizer.kind = kind;
      options.schedule.kind = ScheduleKind::cosine;
      options.schedule.total_steps = kSteps;
      options.compute = compute;
      options.is_frozen = [](const std::string& name) { return name.find("bias") != std::string::npos; };
      const Batch batch = noise_batch(file, 6);
      const auto copy_of = [](const std::vector<NamedTensor>& tensors) {
        std::vector<NamedTensor> copies;
        for (const NamedTensor& each : tensors) copies.push_back({each.name, each.tensor.clone()});
        return copies;
      };
      Classifier whole(file);
      Trainer trainer(whole, options);
      std::vector<std::vector<NamedTensor>> tensors;
      std::vector<TrainerState> states;
      std::vector<double> losses;
      for (int64_t step = 0; step < kSteps; ++step) {
        tensors.push_back(copy_of(trainer.file().tensors));
        states.push_back(trainer.state());
        states.back().moments = copy_of(states.back().moments);
        losses.push_back(trainer.step(batch).loss);
      }
      const std::string last = encode_safetensors(to_tensor_file(trainer.file()));
      for (int64_t from = 0; from < kSteps; ++from) {
        CAPTURE(from);
        file.seed = 1000;  // other weights to begin with
        Classifier classifier(file);
        Trainer resumed(classifier, options);
        for (int64_t step = 0; step < from % 2; ++step) resumed.step(batch);  // and other moments
        resumed.restore(tensors[static_cast<size_t>(from)], states[static_cast<size_t>(from)], "here");
        CHECK(resumed.steps() == from);
        for (int64_t step = from; step < kSteps; ++step)
          CHECK(resumed.step(batch).loss == losses[static_cast<size_t>(step)]);
        classifier.description().seed = whole.description().seed;
        CHECK(encode_safetensors(to_tensor_file(resumed.file())) == last);
      }
      states[0].moments.pop_back();
      CHECK_THROWS_WITH_AS(trainer.restore(tensors[0], states[0], "here"), doctest::Contains("file has none"), Error);
    }
  }
}

TEST_CASE("trainer: the training loss of an epoch is the mean over clips, not batches") {
  Classifier classifier(video_model());
  Trainer trainer(classifier, constant_rate(1e-30));  // the network stays as it is
  LoaderOptions options = loader_options(16, 0, true);
  options.clip.frames = 4;  // all of a video, so that nothing is left to chance
  classifier.description().preprocessing.frames = 4;
  Loader training(videos().train, options);  // 16 and 4 clips
  LoaderOptions calm = options;
  calm.training = calm.shuffle = false;
  Loader validation(videos().train, calm);
  const FitResult result = fit(trainer, training, &validation, {.epochs = 1});
  REQUIRE(result.epochs.size() == 1);
  CHECK(result.epochs[0].validation.samples == 20);
  CHECK(result.epochs[0].train_loss == doctest::Approx(result.epochs[0].validation.loss).epsilon(1e-5));
}

TEST_CASE("trainer: steps whose gradients are not finite change nothing, and too many of them are an error") {
  const ModelFile file = description(2);
  Classifier classifier(file);
  TrainerOptions options = constant_rate(1e-2);
  options.objective.weights = Tensor::from({1.0f, std::numeric_limits<float>::quiet_NaN()});
  Trainer trainer(classifier, options);
  const Batch batch = noise_batch(file, 4);
  const std::string before = bytes_of(classifier);
  for (int step = 0; step < 3; ++step) CHECK(trainer.step(batch).skipped);
  CHECK((bytes_of(classifier) == before));
  CHECK(trainer.skipped_steps() == 3);
  CHECK(trainer.finite());
  try {
    trainer.step(batch);
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == exit_code::kNotFinite);
    CHECK(std::string(error.what()).find("step 4 (clips 0, 1, 2, ...)") != std::string::npos);
  }
}

TEST_CASE("trainer: a network that is not finite is noticed") {
  Classifier classifier(description(2));
  const Trainer trainer(classifier, constant_rate(1e-3));
  CHECK(trainer.finite());
  classifier.network().parameters().back().tensor.values<float>()[0] = std::numeric_limits<float>::infinity();
  CHECK(!trainer.finite());
}

TEST_CASE("trainer: max_steps and `proceed` end a run, the best epoch is told") {
  Classifier classifier(video_model());
  Trainer trainer(classifier, constant_rate(1e-4));
  Loader loader(videos().train, loader_options(8, 0, true));  // 3 batches
  const FitResult limited = fit(trainer, loader, nullptr, {.epochs = 5, .max_steps = 4});
  CHECK(trainer.steps() == 4);
  CHECK(limited.epochs.size() == 2);
  CHECK(!limited.stopped);
  CHECK(limited.best_epoch >= 1);
  int asked = 0;
  FitHooks hooks;
  hooks.proceed = [&] { return ++asked < 2; };
  const FitResult stopped = fit(trainer, loader, nullptr, {.epochs = 5}, hooks);
  CHECK(stopped.stopped);
  CHECK(trainer.steps() == 6);
  CHECK(stopped.best_epoch == 0);
}

TEST_CASE("evaluate: a clip's logits do not depend on its company, and nothing is recorded") {
  const ModelFile file = description(3, 2);
  Classifier classifier(file);
  classifier.network().train();
  const Batch batch = noise_batch(file, 5);
  const int64_t nodes = Node::live();
  const Tensor together = Evaluator(classifier)(batch.frames);
  CHECK(Node::live() == nodes);
  CHECK(classifier.network().training());
  for (int64_t n = 0; n < 5; ++n) {
    const Tensor alone = Evaluator(classifier)(batch.frames.slice(n, n + 1));
    for (size_t i = 0; i < 3; ++i)
      CHECK(alone.values<float>()[i] == together.values<float>()[static_cast<size_t>(n) * 3 + i]);
  }
}

TEST_CASE("classifier: what was saved comes back, with classes and preprocessing") {
  const TemporaryFolder folder;
  ModelFile file = description(3, 2);
  file.preprocessing.input = "rgb+diff";
  Classifier classifier(file);
  save_model(folder / "model.safetensors", classifier.file());
  Classifier loaded = Classifier::load(folder / "model.safetensors");
  CHECK((bytes_of(loaded) == bytes_of(classifier)));
  CHECK(loaded.description().preprocessing == file.preprocessing);
  const Batch batch = noise_batch(file, 1);
  CHECK(Evaluator(loaded)(batch.frames).values<float>()[0] == Evaluator(classifier)(batch.frames).values<float>()[0]);
}

TEST_CASE("classifier: the network's input is normalised, or the difference of neighbours, or both") {
  Preprocessing p;
  p.frames = 2;
  p.mean = {0.5, 0.5, 0.5};
  p.deviation = {0.5, 0.5, 0.5};
  const std::vector<uint8_t> pixels = {0, 0, 0, 255, 255, 255, 0, 255, 0};  // three frames of one pixel
  const auto input = [&](const char* kind, int64_t frames) {
    p.input = kind;
    CHECK(frames_to_read(p) == frames);
    const Tensor clip = Tensor::from(pixels, {1, 3, 1, 1, 3}).reshape({3, 1, 1, 3}).slice(0, frames);
    const Tensor x = network_input(clip.reshape({1, frames, 1, 1, 3}), p);
    CHECK(x.size(1) == 2);
    CHECK(x.size(4) == input_channels(p));
    const auto values = x.values<float>();
    return std::vector<double>(values.begin(), values.end());
  };
  const auto close = [](const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-6));
  };
  close(input("rgb", 2), {-1, -1, -1, 1, 1, 1});
  close(input("diff", 3), {2, 2, 2, -2, 0, -2});
  close(input("rgb+diff", 3), {1, 1, 1, 2, 2, 2, -1, 1, -1, -2, 0, -2});
}

TEST_CASE("optimizer: weights decay, biases and frozen parameters do not") {
  const Tensor weight = Tensor::full({2, 2}, 1.0), bias = Tensor::full({2}, 1.0), frozen = Tensor::full({2, 2}, 1.0);
  for (const Tensor& each : {weight, bias, frozen}) each.set_requires_grad();
  const ParameterArena arena({{"weight", weight}, {"bias", bias}, {"frozen", frozen}}, {},
                             [](const std::string& name) { return name == "frozen"; });
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
    arena.values().copy_from(Tensor::full(arena.values().shape(), 1.0));
    Optimizer optimizer(arena, {.kind = kind, .weight_decay = 0.1, .momentum = 0});
    arena.zero_grad();
    arena.finish_grad();
    optimizer.begin_step(1, 0.5);
    optimizer.update();
    CHECK(!optimizer.skipped());
    CHECK(optimizer.gradient_norm() == 0);
    CHECK(weight.values<float>()[3] == doctest::Approx(0.95));
    CHECK(bias.values<float>()[1] == 1.0f);
    CHECK(frozen.values<float>()[0] == 1.0f);
  }
}

TEST_CASE("data options: augmentation is for training, how videos are read for both") {
  TrainOptions options;
  options.resized_crop = true, options.min_area = 0.3, options.rotate = 12, options.hue = 0.2, options.erase = 0.25;
  options.temporal_jitter = 2, options.flip = true;
  options.untagged = "auto", options.rgb_first = true;
  options.fps = 12.5, options.short_videos = "pad", options.sar = true, options.sampling = "dense";
  options.normalize.mean = {0.2, 0.4, 0.6};
  resolve(options, {64, 48});
  const LoaderOptions training = training_loader(options, {});
  CHECK(training.clip.augment.resized_crop);
  CHECK(training.clip.augment.min_area == 0.3);
  CHECK(training.clip.augment.rotation == 12);
  CHECK(training.clip.augment.hue == 0.2);
  CHECK(training.clip.augment.erase_probability == 0.25);
  CHECK(training.clip.augment.flip_probability == 0.5);
  CHECK(training.clip.temporal_jitter == 2);
  CHECK(training.clip.augment.fill == std::array<double, 3>{});
  options.standardize = "before";
  CHECK(training_loader(options, {}).clip.augment.fill[1] == doctest::Approx(102));
  const LoaderOptions evaluation = evaluation_loader(preprocessing(options), 1);
  CHECK_FALSE(evaluation.clip.augment.resized_crop);
  CHECK(evaluation.clip.augment.rotation == 0);
  for (const LoaderOptions& loader : {training, evaluation}) {
    CHECK(loader.clip.augment.rgb_first);
    CHECK(loader.source.untagged == Untagged::automatic);
    CHECK(loader.clip.fps == 12.5);
    CHECK(loader.clip.short_videos == ShortVideo::pad);
    CHECK(loader.clip.pad[2] == doctest::Approx(153));  // the mean, whatever is erased with
    CHECK(loader.clip.sar);
    CHECK(views_of(loader.clip) == 1);
  }
  CHECK(views_of(evaluation_loader(preprocessing(options), 1, 4, TestCrops::ten).clip) == 40);
}

TEST_CASE("data options: --flip-swap gives mirrored clips of two classes each other's label") {
  TrainOptions options;
  const auto labels = [&](const std::string& pair) {
    options.flip_swap = pair;
    return mirrored_labels(options, {"left", "right", "wave"});
  };
  const auto refusal = [&](const std::string& pair) -> std::string {
    try {
      labels(pair);
    } catch (const Error& error) {
      CHECK(error.code() == exit_code::kUsage);
      return error.what();
    }
    return "nothing was thrown";
  };
  CHECK(labels("").empty());
  CHECK(refusal("left:right") == "--flip-swap is about mirrored clips; add --flip");
  options.flip = true;
  CHECK(labels("left:right") == std::vector<int64_t>{1, 0, 2});
  CHECK(labels("wave:left") == std::vector<int64_t>{2, 1, 0});
  CHECK(refusal("lft:right") == "--flip-swap lft:right: the data have no class 'lft'; did you mean 'left'?");
  CHECK(refusal("left:rihgt") == "--flip-swap left:rihgt: the data have no class 'rihgt'; did you mean 'right'?");
  CHECK(refusal("left:banana") == "--flip-swap left:banana: the data have no class 'banana'");
  for (const char* pair : {"left", "left:", ":right", "left:left", ":"})
    CHECK(refusal(pair) == concat("--flip-swap must be A:B, the names of two classes, not '", pair, "'"));
}

TEST_CASE("data options: balanced class weights make every class count the same") {
  Dataset dataset;
  dataset.classes = {"a", "b", "c"};
  for (const int64_t label : {0, 0, 0, 1}) dataset.samples.push_back({"", label, "", 0});
  const Tensor weights = balanced_class_weights(dataset);
  CHECK(weights.values<float>()[0] == doctest::Approx(4.0 / 9));
  CHECK(weights.values<float>()[1] == doctest::Approx(4.0 / 3));
  CHECK(weights.values<float>()[2] == 0.0f);
}
