// Heads for regression and several labels: objectives, figures, checkpoints, and from clips to predictions.
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/random.h"
#include "program_run.h"
#include "train/data_options.h"
#include "train/evaluate.h"
#include "train/label_metrics.h"
#include "train/predict.h"
#include "train/regression_metrics.h"
#include "train/report.h"
#include "train/trainer.h"

using namespace engine;
using namespace program_run;

namespace {

using Rows = std::vector<std::vector<double>>;

std::pair<int, std::string> refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {0, "nothing was thrown"};
}

double value_of(const std::vector<Figure>& figures, const std::string& key) {
  const auto found = std::ranges::find(figures, key, &Figure::key);
  REQUIRE(found != figures.end());
  return found->value;
}

Evaluation judged(Metrics& metrics, const Rows& outputs, const Rows& targets) {
  for (size_t i = 0; i < outputs.size(); ++i)
    metrics.add(std::vector<float>(outputs[i].begin(), outputs[i].end()), targets[i]);
  return metrics.result();
}

// Clips of which nothing but the targets is there.
Dataset dataset_of(Head head, const std::vector<std::string>& names, const Rows& targets) {
  Dataset dataset{{}, names, "list.txt", head};
  for (const std::vector<double>& each : targets) dataset.samples.push_back({"", 0, "", 0, each});
  return dataset;
}

ModelFile description(const Dataset& dataset, int64_t frames = 2) {
  ModelFile file;
  file.model = "sora-cnn";
  file.head = dataset.head;
  file.classes = dataset.classes;
  file.targets = standardization(dataset);
  file.preprocessing.frames = frames;
  file.preprocessing.height = file.preprocessing.width = 16;
  file.preprocessing.input = dataset.head == Head::regression ? "rgb+diff" : "rgb";
  file.seed = 3;
  return file;
}

// Small decoded clips of a kind, made once.
const std::string& set_of(SyntheticKind kind) {
  static const TemporaryFolder folder;
  static const std::vector<std::string> sets = [] {
    std::vector<std::string> made;
    for (const SyntheticKind each : {SyntheticKind::speed, SyntheticKind::pairs}) {
      made.push_back(folder / (each == SyntheticKind::speed ? "speed" : "pairs"));
      DataMakeOptions options{.out = made.back(), .kind = each, .width = 16, .height = 16, .frames = 4};
      options.train = each == SyntheticKind::speed ? 12 : 1;
      options.test = each == SyntheticKind::speed ? 4 : 1;
      options.decoded = true;
      make_data(options, [](int, int) { return true; });
    }
    return made;
  }();
  return sets[kind == SyntheticKind::speed ? 0 : 1];
}

}  // namespace

TEST_CASE("regression: R2 and MAE of a case worked out by hand, in the units of the data") {
  // Predictions 10 + 2 x output and -3 + 0.5 x output.
  RegressionMetrics metrics({{10, -3}, {2, 0.5}});
  const Evaluation result = judged(metrics, {{0, 2}, {1, 0}, {-2, 4}}, {{9, -2}, {14, -2}, {7, -2}});
  CHECK(result.samples == 3);
  // Errors 1, -2, -1 and 0, -1, 1; the first target is spread by 1 + 16 + 9 around 10, the second not at all.
  CHECK(value_of(result.outputs[0], "r2") == doctest::Approx(1 - 6.0 / 26));
  CHECK(value_of(result.outputs[0], "mae") == doctest::Approx(4.0 / 3));
  CHECK(std::isnan(value_of(result.outputs[1], "r2")));
  CHECK(value_of(result.outputs[1], "mae") == doctest::Approx(2.0 / 3));
  CHECK(result.score() == doctest::Approx(1 - 6.0 / 26));
  CHECK(value_of(result.figures, "mae") == doctest::Approx(1.0));
  CHECK(result.loss == doctest::Approx((6.0 / 4 + 2.0 / 0.25) / 6));
}

TEST_CASE("regression: large values keep their digits; no samples is no number") {
  RegressionMetrics metrics({{1.7e9}, {30}});
  CHECK(std::isnan(metrics.result().score()));
  CHECK(std::isnan(metrics.result().loss));
  CHECK(std::isnan(value_of(metrics.result().figures, "mae")));
  const Evaluation result = judged(metrics, {{-1}, {0}, {1}}, {{1.7e9 - 30}, {1.7e9 + 3}, {1.7e9 + 30}});
  CHECK(result.score() == doctest::Approx(1 - 9.0 / 1806).epsilon(1e-9));  // 31^2 + 2^2 + 29^2
  CHECK_THROWS_AS(judged(metrics, {{1, 2}}, {{1, 2}}), Error);
}

TEST_CASE("several labels: F1, average precision and subset accuracy of a case worked out by hand") {
  LabelMetrics metrics(3);
  const Evaluation result = judged(metrics, {{2, -1, -1}, {1, 1, -1}, {-1, 1, -2}, {-2, -1, -3}},
                                   {{1, 0, 0}, {0, 1, 0}, {1, 0, 0}, {0, 1, 0}});
  // Label 0: right 1, wrong 1, missing 1. Label 1: the same. Label 2: nobody has it, and none is predicted to.
  CHECK(value_of(result.outputs[0], "f1") == doctest::Approx(0.5));
  CHECK(value_of(result.outputs[1], "f1") == doctest::Approx(0.5));
  CHECK(std::isnan(value_of(result.outputs[2], "f1")));
  CHECK(value_of(result.outputs[0], "clips") == 2);
  // Label 0 in the order 2 (has), 1, -1 (has), -2: 1/2 x 1 + 1/2 x 2/3.
  CHECK(value_of(result.outputs[0], "ap") == doctest::Approx(0.5 + 1.0 / 3));
  // Label 1: two of equal probability with one right, then two more: 1/2 x 1/2 + 1/2 x 2/4.
  CHECK(value_of(result.outputs[1], "ap") == doctest::Approx(0.5));
  CHECK(std::isnan(value_of(result.outputs[2], "ap")));
  CHECK(result.score() == doctest::Approx(2 * 2.0 / (2 * 2 + 2 + 2)));
  CHECK(value_of(result.figures, "macro_f1") == doctest::Approx(0.5));
  CHECK(value_of(result.figures, "map") == doctest::Approx((0.5 + 1.0 / 3 + 0.5) / 2));
  CHECK(value_of(result.figures, "subset_accuracy") == doctest::Approx(0.25));
  const auto miss = [](double x) { return std::log1p(std::exp(x)); };
  CHECK(result.loss == doctest::Approx((miss(-2) + miss(-1) + miss(-1) + miss(1) + miss(-1) + miss(-1) + miss(1) +
                                        miss(1) + miss(-2) + miss(-2) + miss(1) + miss(-3)) /
                                       12));
}

TEST_CASE(
    "several labels: micro F1 weighs labels by their clips, macro F1 does not; a probability of 0.5 is not over it") {
  LabelMetrics metrics(2);
  const Evaluation result = judged(metrics, {{1, 0}, {1, -1}, {1, -1}}, {{1, 1}, {1, 0}, {0, 0}});
  CHECK(result.score() == doctest::Approx(4.0 / (4 + 1 + 1)));
  CHECK(value_of(result.figures, "macro_f1") == doctest::Approx((4.0 / 5 + 0) / 2));
  LabelMetrics empty(2);
  for (const Figure& each : empty.result().figures) CHECK(std::isnan(each.value));
  CHECK(std::isnan(empty.result().loss));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  empty.add(std::vector<float>{nan, 1}, std::vector<double>{1, 1});
  CHECK(value_of(empty.result().outputs[0], "f1") == 0);
  CHECK(value_of(empty.result().outputs[0], "ap") == 1);
}

TEST_CASE("heads: reports follow the head") {
  RegressionMetrics metrics({{0}, {1}});
  const EpochReport none{.epoch = 1, .train_loss = 0.5, .validation = metrics.result()};
  CHECK(epoch_line(none, 2) == "Epoch 1/2 train loss 0.500 val loss - R2: - MAE - time 0.0 s");
  const Evaluation result = judged(metrics, {{0.5}, {2}}, {{0}, {2}});
  const EpochReport report{.epoch = 2, .train_loss = 0.5, .seconds = 1, .validation = result};
  CHECK(epoch_line(report, 2) == "Epoch 2/2 train loss 0.500 val loss 0.125 R2: 0.875 MAE 0.25 time 1.0 s");
  CHECK(
      metrics_csv({none, report}).starts_with("epoch,train_loss,val_loss,r2,mae,seconds,clips_per_second\n1,0.5,,,,"));
  CHECK(test_line(result) == "Test R2: 0.875 (MAE 0.25)");
  const auto object = nlohmann::json::parse(metrics_json("test", result, {"speed"}));
  CHECK(object.at("targets").at(0) == nlohmann::json{{"name", "speed"}, {"r2", 0.875}, {"mae", 0.25}});
  CHECK_FALSE(object.contains("confusion"));
  CHECK(output_table(result, {"speed"}) == "target     R2   MAE\nspeed   0.875  0.25\n");
  LabelMetrics labels(1);
  const Evaluation several = judged(labels, {{3}, {-3}}, {{1}, {1}});
  CHECK(test_line(several) == "Test F1: 0.667 (macro F1 0.667, mAP 1.000, subset accuracy 0.500)");
  CHECK(nlohmann::json::parse(epoch_json({.epoch = 1, .validation = several})).at("map") == 1.0);
}

TEST_CASE("heads: targets are standardised by the training clips, predictions brought back") {
  const Dataset train = dataset_of(Head::regression, {"x", "y"}, {{1, 100}, {4, 300}, {4, 200}});
  ModelFile model = description(train);
  CHECK(model.targets.mean[0] == doctest::Approx(3));
  CHECK(model.targets.deviation[0] == doctest::Approx(std::sqrt(2.0)));
  CHECK(model.targets.deviation[1] == doctest::Approx(100 * std::sqrt(2.0 / 3)));
  const Tensor labels = Tensor::from<double>({1, 300, 5, 200}, {2, 2});
  const Tensor targets = training_targets(model, labels);
  for (int64_t n = 0; n < 2; ++n) {
    const auto back = predictions(model, targets.slice(n, n + 1).values<float>());
    for (size_t k = 0; k < 2; ++k)
      CHECK(back[k] == doctest::Approx(labels.values<double>()[static_cast<size_t>(n) * 2 + k]).epsilon(1e-6));
  }
  const Dataset constant = dataset_of(Head::regression, {"x", "y"}, {{1, 7}, {4, 7}});
  const auto [code, message] = refusal([&] { standardization(constant); });
  CHECK(code == exit_code::kData);
  CHECK(message.find("target 'y' is 7 in every training clip") != std::string::npos);
  model.head = Head::multilabel;
  CHECK(predictions(model, std::vector<float>{0, -std::log(3.0f)})[1] == doctest::Approx(0.25));
  CHECK(training_targets(model, labels).values<float>()[1] == 300);
}

TEST_CASE("heads: the objective is the mean squared error, or binary cross-entropy with weights") {
  const Tensor x = Tensor::from<float>({0.5f, -1, 2, 0.25f}, {2, 2});
  CHECK(objective(Head::regression, x, Tensor::from<float>({1, -1, 1, 1}, {2, 2}), {}).item() ==
        doctest::Approx((0.25 + 0 + 1 + 0.5625) / 4));
  const auto miss = [](double logit) { return std::log1p(std::exp(logit)); };
  CHECK(objective(Head::multilabel, x, Tensor::from<float>({1, 0, 0, 1}, {2, 2}),
                  {.weights = Tensor::from<float>({3, 5})})
            .item() == doctest::Approx((3 * miss(-0.5) + miss(-1) + miss(2) + 5 * miss(-0.25)) / 4));
  const Tensor low = cast(x, DType::bf16);
  CHECK(objective(Head::regression, low, Tensor::zeros({2, 2}), {}).dtype() == DType::f32);
}

TEST_CASE("heads: options that make no sense with a head, and weights of labels") {
  TrainOptions options;
  const auto refused = [&] { return refusal([&] { check_head(options); }); };
  CHECK(refused().first == 0);
  options.head = Head::multilabel;
  options.class_weights = ClassWeights::automatic;
  CHECK(refused().first == 0);
  options.label_smoothing = 0.1;
  CHECK(refused().second == "--label-smoothing makes no sense with --head multilabel; leave it out");
  options.label_smoothing = 0;
  options.head = Head::regression;
  CHECK(refused().second == "--class-weights auto makes no sense with --head regression; numbers have no classes");
  options.class_weights = ClassWeights::none;
  options.flip_swap = "a:b";
  CHECK(refused().first == exit_code::kUsage);
  const Dataset train = dataset_of(Head::multilabel, {"x", "y"}, {{1, 0}, {1, 1}, {1, 0}, {0, 0}});
  const Tensor weights = balanced_class_weights(train);
  CHECK(weights.values<float>()[0] == doctest::Approx(1.0 / 3));
  CHECK(weights.values<float>()[1] == doctest::Approx(3));
}

TEST_CASE("loader: targets of each clip, with the labels of mirrored clips swapped") {
  const Splits splits = open_splits(set_of(SyntheticKind::pairs), {.val_fraction = 0, .head = Head::multilabel});
  LoaderOptions options;
  options.clip = clip_options(description(splits.train).preprocessing);
  options.workers = 1;
  options.mirrored_labels = {1, 0, 2, 3, 4, 5, 6, 7, 9, 8};
  for (const double mirrored : {0.0, 1.0}) {
    options.clip.augment.flip_probability = mirrored;
    Loader loader(splits.train, options);
    loader.start_epoch(0);
    Batch batch;
    REQUIRE(loader.next(batch));
    CHECK(batch.labels.shape() == Shape{8, 10});
    for (size_t n = 0; n < 8; ++n)
      for (size_t k = 0; k < 10; ++k) {
        const size_t place = mirrored > 0 ? static_cast<size_t>(options.mirrored_labels[k]) : k;
        CHECK(batch.labels.values<double>()[n * 10 + place] ==
              splits.train.samples[static_cast<size_t>(batch.items[n])].targets[k]);
      }
  }
}

TEST_CASE("checkpoint: the head comes back; an older file is a classifier; what is malformed is refused") {
  ModelFile file;
  file.model = "sora-cnn";
  file.head = Head::regression;
  file.classes = {"speed", "angle"};
  file.targets = {{0.1 + 0.2, -1e9}, {1.0 / 3, 1e-7}};
  const TensorFile saved = to_tensor_file(file);
  const ModelFile loaded = to_model_file(saved, "F");
  CHECK(loaded.head == Head::regression);
  CHECK(loaded.targets == file.targets);
  const auto message = [&](const std::string& key, const std::string& value) {
    TensorFile changed = saved;
    changed.metadata[key] = value;
    return refusal([&] { to_model_file(changed, "F"); });
  };
  for (const char* value : {R"({"mean":[1,2]})", R"({"mean":[1,2],"deviation":[1]})", R"({"mean":[1],"deviation":[1]})",
                            R"({"mean":[1,2],"deviation":[1,0]})", R"({"mean":[1,2],"deviation":[1,1],"x":0})",
                            R"({"mean":[1,"2"],"deviation":[1,1]})", "[]"})
    CHECK(message("targets", value) ==
          std::pair(exit_code::kCheckpoint, concat("F: metadata 'targets' is '", value, "'")));
  CHECK(message("head", "detection").second == "F: metadata 'head' is 'detection'");
  TensorFile older = saved;
  older.metadata.erase("head");
  CHECK(to_model_file(older, "F").head == Head::classification);
  older = saved;
  older.metadata.erase("targets");
  CHECK(refusal([&] { to_model_file(older, "F"); }).second == "F: metadata has no 'targets'");
  file.head = Head::multilabel;
  file.targets = {};
  CHECK(to_model_file(to_tensor_file(file), "F").head == Head::multilabel);
}

TEST_CASE("speed and pairs: the loss falls, a saved model comes back, predictions are those of the evaluation") {
  for (const SyntheticKind kind : {SyntheticKind::speed, SyntheticKind::pairs}) {
    const Splits splits = open_splits(set_of(kind), {.val_fraction = 0, .head = head_for(kind)});
    Classifier classifier(description(splits.train));
    TrainerOptions options;
    options.schedule = {.kind = ScheduleKind::constant, .peak = 3e-3};
    Trainer trainer(classifier, options);
    LoaderOptions loading;
    loading.clip = clip_options(classifier.description().preprocessing);
    loading.workers = 0;
    loading.batch = 6;
    Loader training(splits.train, loading);
    Loader calm(splits.train, evaluation_loader(classifier.description().preprocessing, 0));
    const double before = evaluate(classifier, calm).loss;
    const FitResult fitted = fit(trainer, training, &calm, {.epochs = 5});
    const EpochReport& best = fitted.epochs[static_cast<size_t>(fitted.best_epoch - 1)];
    for (const EpochReport& each : fitted.epochs) CHECK(each.validation.score() <= best.validation.score());
    CHECK(fitted.epochs.back().validation.loss < 0.97 * before);

    const TemporaryFolder folder;
    save_model(folder / "model", trainer.file());
    Classifier loaded = Classifier::load(folder / "model");
    Evaluator evaluator(loaded);
    double loss = 0;
    for (const Sample& sample : splits.train.samples) {
      const Prediction prediction = classify(evaluator, sample.path);
      for (size_t k = 0; k < sample.targets.size(); ++k) {
        const double value = prediction.values[k], target = sample.targets[k];
        const double error =
            kind == SyntheticKind::speed ? (value - target) / loaded.description().targets.deviation[k] : 0;
        loss += kind == SyntheticKind::speed ? error * error : -std::log(target > 0 ? value : 1 - value);
      }
    }
    loss /= static_cast<double>(splits.train.samples.size() * splits.train.classes.size());
    CHECK(loss == doctest::Approx(fitted.epochs.back().validation.loss).epsilon(1e-9));
  }
}

TEST_CASE("programs: --head from lists to tables and JSON") {
  const TemporaryFolder folder;
  const auto train = [&](SyntheticKind kind, const std::string& head) {
    return run(
        folder, "engine_train",
        {set_of(kind), "--head", head, "--epochs", "1", "--frames", "2", "--progress", "none", "--out", folder / head});
  };
  const auto predict = [&](const std::vector<std::string>& arguments) {
    return run(folder, "engine_predict", arguments);
  };

  const Outcome speed = train(SyntheticKind::speed, "regression");
  CAPTURE(speed.err);
  REQUIRE(speed.code == exit_code::kOk);
  CHECK(speed.out.find(" R2: ") != std::string::npos);
  CHECK(speed.out.find("\nTest R2: ") != std::string::npos);
  CHECK(speed.err.find("1 target\n") != std::string::npos);
  const std::string model = folder / "regression/best.safetensors", clips = set_of(SyntheticKind::speed) + "/test";
  const auto object = nlohmann::json::parse(predict({"classify", model, clips + "/speed/0000.frames", "--json"}).out);
  const double value = object.at("targets").at("speed");
  const std::string table = predict({"classify", model, clips}).out;
  CHECK(table.starts_with("file "));
  CHECK(table.find("target  value\n") != std::string::npos);
  CHECK(table.find(concat(" speed   ", std::to_string(value).substr(0, 5))) != std::string::npos);
  const Outcome eval = predict({"eval", model, set_of(SyntheticKind::speed)});
  CHECK(eval.out.find("\nR2: ") != std::string::npos);
  CHECK(eval.out.find("(predicted)") == std::string::npos);
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& why) {
    const Outcome outcome = predict(arguments);
    CHECK(outcome.code == exit_code::kUsage);
    CHECK_MESSAGE(outcome.err.find(why) != std::string::npos, outcome.err);
  };
  refused({"classify", model, clips, "--top", "2"},
          "--top is for classes, and the head of " + model + " is regression; leave it out");
  refused({"classify", model, clips, "--join", "--window", "2"}, "--join is for classes and labels, not for numbers");
  refused({"eval", model, set_of(SyntheticKind::speed), "--confusion", "m.csv"},
          "--confusion is for classes, and the head of the model is regression; leave it out");
  refused({"eval", model, clips}, "regression needs a list with numbers (lines such as clip.mp4 1.25)");

  const Outcome pairs = train(SyntheticKind::pairs, "multilabel");
  REQUIRE(pairs.code == exit_code::kOk);
  CHECK(pairs.out.find(" F1: ") != std::string::npos);
  const Outcome labels =
      predict({"eval", folder / "multilabel/last.safetensors", set_of(SyntheticKind::pairs), "--json"});
  CHECK(nlohmann::json::parse(labels.out).at("labels").size() == 10);
  const std::string clip = set_of(SyntheticKind::pairs) + "/test/bars/0000.frames";
  const auto told =
      nlohmann::json::parse(predict({"classify", folder / "multilabel/last.safetensors", clip, "--json"}).out);
  const auto over = told.at("labels").get<std::vector<std::string>>();
  for (const auto& [name, probability] : told.at("probabilities").items())
    CHECK((probability.get<double>() > 0.5) == (std::ranges::count(over, name) == 1));
  CHECK(predict({"classify", folder / "multilabel/last.safetensors", clip}).out.find("label ") != std::string::npos);
  CHECK(train(SyntheticKind::pairs, "regression").code == exit_code::kData);
  CHECK(predict({"eval", model, set_of(SyntheticKind::pairs)}).code == exit_code::kData);
}
