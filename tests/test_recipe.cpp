// How a run is trained, feature by feature, and that each of them goes on from a saved state to the same bytes.
#include <limits>
#include <map>
#include <set>

#include "program_run.h"
#include "train/data_options.h"
#include "train/run_state.h"
#include "training_fixtures.h"

using namespace engine;
using namespace engine::fixtures;
using program_run::TemporaryFolder;

namespace {

ModelFile video_model() {
  ModelFile file = description(0, 2);
  file.classes = videos().train.classes;
  return file;
}

LoaderOptions loader_options(int batch, bool training = true) {
  LoaderOptions options;
  options.clip = clip_options(video_model().preprocessing);
  options.batch = batch;
  options.workers = 1;
  options.training = options.shuffle = training;
  options.seed = 5;
  return options;
}

ModelFile of_numbers() {
  ModelFile file = description(1);
  file.head = Head::regression;
  file.targets = {{0.0}, {1.0}};
  return file;
}

// Three clips, of which the last has this target.
Batch number_batch(const ModelFile& file, double target) {
  Batch batch = noise_batch(file, 3);
  batch.labels = Tensor::full({3, 1}, 0.5, DType::f64);
  batch.labels.values<double>()[2] = target;
  return batch;
}

// One step of two batches.
StepResult step_of(Trainer& trainer, const Batch& first, const Batch& second) {
  trainer.queue(first, second.frames.size(0));
  CHECK(trainer.results().empty());
  return trainer.step(second);
}

}  // namespace

TEST_CASE("accumulate: batches of a step equal one batch of all their clips") {
  const ModelFile file = description(3);
  const Batch all = noise_batch(file, 7);
  for (const DType compute : {DType::f32, DType::bf16}) {
    CAPTURE(compute);
    TrainerOptions options = constant_rate(0.05);
    options.optimizer = {.kind = OptimizerKind::sgd, .clip_norm = 0.4};
    options.compute = compute;
    options.ema = 0.5;
    Classifier one(file), several(file);
    Trainer whole(one, options);
    options.accumulate = 3;
    Trainer parts(several, options);
    for (int step = 0; step < 3; ++step) {
      const double loss = whole.step(all).loss;
      parts.queue(part_of(all, 0, 3), 4);
      CHECK(parts.results().empty());
      parts.queue(part_of(all, 3, 6), 1);
      parts.results();
      parts.queue(part_of(all, 6, 7));
      const std::vector<StepResult> results = parts.results();
      REQUIRE(results.size() == 1);
      CHECK(results[0].batches == 3);
      CHECK(results[0].clips == 7);
      CHECK(results[0].loss == doctest::Approx(loss).epsilon(compute == DType::f32 ? 1e-5 : 1e-2));
      CHECK(parts.steps() == step + 1);
    }
    const double moved = largest_difference(numbers(Classifier(file).file().tensors), numbers(whole.file().tensors));
    CHECK(moved > 5e-3);
    const double bound = compute == DType::f32 ? 1e-6 : 0.05 * moved;
    CHECK(largest_difference(numbers(whole.file().tensors), numbers(parts.file().tensors)) < bound);
    CHECK(largest_difference(numbers(whole.model().tensors), numbers(parts.model().tensors)) < bound);
  }
}

TEST_CASE("accumulate: the draws of a step's batches differ, and one batch too many is a fault") {
  ModelFile file = description(3);
  file.model_options["dropout"] = "0.5";
  TrainerOptions options = constant_rate(1e-30);
  options.accumulate = 2;
  Classifier classifier(file);
  Trainer trainer(classifier, options);
  const Batch batch = noise_batch(file, 6);
  std::vector<double> losses;
  losses.push_back(2 * step_of(trainer, batch, batch).loss);  // the mean of two
  losses.push_back(2 * step_of(trainer, batch, batch).loss);
  CHECK(losses[0] != losses[1]);
  Trainer alone(classifier, constant_rate(1e-30));
  const double first = alone.step(batch).loss;
  CHECK(losses[0] - first != first);
  trainer.queue(batch, 6);
  trainer.results();
  CHECK_THROWS(trainer.state());
  CHECK_THROWS(trainer.queue(batch, 6));
}

TEST_CASE("accumulate: an epoch is trained as with batches of that many clips, its last step too") {
  const auto trained = [](int batch, int64_t accumulate) {
    Classifier classifier(video_model());
    TrainerOptions options = constant_rate(0.02);
    options.optimizer = {.kind = OptimizerKind::sgd};
    options.accumulate = accumulate;
    Trainer trainer(classifier, options);
    Loader loader(videos().train, loader_options(batch));
    const FitResult result = fit(trainer, loader, nullptr, {.epochs = 2});
    CHECK(trainer.steps() == 2 * 3);  // of 8, 8 and 4 clips
    CHECK(result.epochs[1].train_loss < result.epochs[0].train_loss);
    return std::pair(result.epochs[1].train_loss, numbers(classifier.file().tensors));
  };
  const auto [loss, weights] = trained(8, 1);
  for (const auto& [batch, accumulate] : {std::pair{4, 2}, std::pair{2, 4}}) {
    const auto [same_loss, same] = trained(batch, accumulate);
    CHECK(same_loss == doctest::Approx(loss).epsilon(1e-4));
    CHECK(largest_difference(weights, same) < 1e-5);
  }
}

TEST_CASE("accumulate: a step that is not finite in one of its batches changes nothing") {
  const ModelFile file = of_numbers();
  TrainerOptions options = constant_rate(0.1);
  options.accumulate = 2;
  Classifier classifier(file);
  Trainer trainer(classifier, options);
  const std::vector<double> before = numbers(trainer.file().tensors);
  const Batch good = number_batch(file, 1), bad = number_batch(file, NAN);
  CHECK(step_of(trainer, bad, good).skipped);
  CHECK(step_of(trainer, good, bad).skipped);
  CHECK(numbers(trainer.file().tensors) == before);
  CHECK(!step_of(trainer, good, good).skipped);
  CHECK(numbers(trainer.file().tensors) != before);
  CHECK(trainer.skipped_steps() == 2);
}

TEST_CASE("average: follows its formula, over weights and statistics, and the network can be put in its place") {
  for (const DType compute : {DType::f32, DType::bf16}) {
    CAPTURE(compute);
    const ModelFile file = normed(description(3));
    TrainerOptions options = constant_rate(0.05);
    options.compute = compute;
    options.ema = 0.3;
    options.is_frozen = [](const std::string& name) { return name == "second.bias"; };
    Classifier classifier(file);
    Trainer trainer(classifier, options);
    const Batch batch = noise_batch(file, 5);
    std::vector<double> expected = numbers(trainer.file().tensors);
    CHECK(numbers(trainer.model().tensors) == expected);
    for (int t = 1; t <= 4; ++t) {
      trainer.step(batch);
      const std::vector<double> now = numbers(trainer.file().tensors);
      const double decay = std::min(0.3, (1.0 + t) / (10.0 + t));
      for (size_t i = 0; i < now.size(); ++i) expected[i] = decay * expected[i] + (1 - decay) * now[i];
    }
    const std::vector<double> values = numbers(trainer.file().tensors), averages = numbers(trainer.model().tensors);
    CHECK(largest_difference(expected, averages) < 1e-6);
    CHECK(largest_difference(values, averages) > 1e-3);
    const std::vector<double> used = numbers(classifier.file().tensors);
    trainer.with_model([&] {
      CHECK(numbers(trainer.file().tensors) == averages);
      const std::vector<double> inside = numbers(classifier.file().tensors);
      CHECK(largest_difference(inside, averages) <= (compute == DType::f32 ? 0 : 0.01));
    });
    CHECK(numbers(trainer.file().tensors) == values);
    CHECK(numbers(trainer.model().tensors) == averages);
    CHECK(numbers(classifier.file().tensors) == used);
  }
}

TEST_CASE("average: a skipped step leaves it alone") {
  const ModelFile file = of_numbers();
  TrainerOptions options = constant_rate(0.1);
  options.ema = 0.9;
  Classifier classifier(file);
  Trainer trainer(classifier, options);
  CHECK(!trainer.step(number_batch(file, 1)).skipped);
  const std::vector<double> before = numbers(trainer.model().tensors);
  CHECK(trainer.step(number_batch(file, NAN)).skipped);
  CHECK(numbers(trainer.model().tensors) == before);
  CHECK(!trainer.step(number_batch(file, 1)).skipped);
  CHECK(numbers(trainer.model().tensors) != before);
  CHECK_THROWS(WeightAverage(ParameterArena({{"w", Tensor::zeros({3})}}, {}), 1.0));
}

TEST_CASE("recipe: two epochs in one go, and with a save and a restore anywhere between, give the same bytes") {
  const auto options_of = [](const std::string& what) {
    TrainerOptions options = constant_rate(3e-3);
    if (what == "everything") {
      options.accumulate = 3;  // of five batches
      options.ema = 0.8;
      options.mixing = {.mixup = 0.4, .cutmix = 0.7};
      options.objective.label_smoothing = 0.1;
    }
    if (what == "plateau")
      options.schedule = {.kind = ScheduleKind::plateau, .peak = 0.3, .drop_factor = 0.2, .plateau_patience = 0};
    return options;
  };
  for (const std::string what : {"everything", "plateau"}) {
    CAPTURE(what);
    ModelFile file = normed(video_model());
    LoaderOptions training = loader_options(4), calm = loader_options(8, false);
    training.balance = what == "everything";
    const FitOptions fit_options{.epochs = 3};
    std::vector<std::string> saved;
    const auto bytes = [&](const Trainer& trainer, const FitState& state) {
      RunState run{.model = trainer.file(), .trainer = trainer.state(), .fit = state, .config = "c", .data = "d"};
      for (EpochReport& epoch : run.fit.epochs) epoch.seconds = epoch.clips_per_second = 0;
      return encode_safetensors(to_tensor_file(run));
    };
    const TemporaryFolder folder;
    const auto run = [&](const std::string& from, std::vector<std::string>* into) {
      Classifier classifier(file);
      Trainer trainer(classifier, options_of(what));
      Loader loader(videos().train, training), validation(videos().test, calm);
      FitState begin;
      if (!from.empty()) {
        program_run::write_text(folder / "state", from);
        const RunState state = to_run_state(read_safetensors(folder / "state"), "there");
        trainer.restore(state.model.tensors, state.trainer, "there");
        begin = state.fit;
      }
      FitHooks hooks;
      hooks.save_due = [&] { return into != nullptr; };
      hooks.save = [&](const FitState& state) {
        if (into != nullptr) into->push_back(bytes(trainer, state));
      };
      const FitResult result = fit(trainer, loader, &validation, fit_options, hooks, begin);
      return bytes(trainer, result) + encode_safetensors(to_tensor_file(trainer.model()));
    };
    const std::string whole = run("", &saved);
    CHECK(saved.size() == (what == "everything" ? 3 * (2 + 1) : 3 * (5 + 1)));
    for (size_t i = 0; i + 1 < saved.size(); i += 2) {
      CAPTURE(i);
      CHECK((run(saved[i], nullptr) == whole));
    }
    CHECK((run("", nullptr) == whole));
  }
}

TEST_CASE("recipe: a state without the averages that are asked for is refused") {
  const ModelFile file = description(2);
  TrainerOptions options = constant_rate(1e-3);
  Classifier a(file), b(file);
  const Trainer plain(a, options);
  options.ema = 0.9;
  Trainer averaging(b, options);
  CHECK(refusal([&] { averaging.restore(plain.file().tensors, plain.state(), "here"); }, exit_code::kCheckpoint)
            .find("here: model needs 'average.conv1.weight'") == 0);
}

TEST_CASE("fit: a plateau lowers the rate, and patience ends the run") {
  Classifier classifier(video_model());
  TrainerOptions options = constant_rate(1e-30);  // no epoch is better than the first
  options.schedule = {.kind = ScheduleKind::plateau, .peak = 1e-30, .drop_factor = 0.5, .plateau_patience = 1};
  Trainer trainer(classifier, options);
  Loader loader(videos().train, loader_options(8)), validation(videos().test, loader_options(8, false));
  std::vector<double> rates;
  FitHooks hooks;
  hooks.after_epoch = [&](const EpochReport&) { rates.push_back(trainer.learning_rate() / 1e-30); };
  const FitResult result = fit(trainer, loader, &validation, {.epochs = 9, .patience = 5}, hooks);
  CHECK(result.epochs.size() == 6);
  CHECK(result.best_epoch == 1);
  CHECK(out_of_patience(5, result));
  CHECK(!out_of_patience(6, result));
  CHECK(!out_of_patience(0, result));
  CHECK(rates == std::vector<double>{1, 1, 1, 0.5, 0.5, 0.25});
  const FitResult again = fit(trainer, loader, &validation, {.epochs = 9, .patience = 5}, hooks, result);
  CHECK(again.epochs.size() == 6);
}

TEST_CASE("loader: balanced classes come equally often, with draws of their own, as a function of the epoch") {
  Dataset data = videos().train;  // 20 clips; 15 of one class, 4 of another, 1 of a third and none of the others
  for (size_t i = 0; i < data.samples.size(); ++i) data.samples[i].label = i < 15 ? 4 : i < 19 ? 0 : 7;
  LoaderOptions options = loader_options(6);
  options.clip.augment.flip_probability = 0.5;
  options.clip.augment.brightness = 0.5;
  options.balance = true;
  using Epoch = std::vector<std::pair<int64_t, std::string>>;
  const auto epoch = [&](int64_t number, int workers, int64_t first_batch = 0) {
    options.workers = workers;
    Loader loader(data, options);
    CHECK(loader.size() == 4);
    loader.start_epoch(number, first_batch);
    Epoch clips;
    for (Batch batch; loader.next(batch);)
      for (size_t i = 0; i < batch.items.size(); ++i) {
        const auto item = batch.items[i];
        CHECK(batch.labels.values<int64_t>()[i] == data.samples[static_cast<size_t>(item)].label);
        const size_t size = batch.frames.values<uint8_t>().size() / batch.items.size();
        const auto pixels = batch.frames.values<uint8_t>().subspan(i * size, size);
        clips.push_back({item, {pixels.begin(), pixels.end()}});
      }
    return clips;
  };
  const Epoch first = epoch(0, 0);
  std::map<int64_t, int> of_class, of_clip;
  std::set<std::string> pictures;
  for (const auto& [item, pixels] : first) {
    ++of_class[data.samples[static_cast<size_t>(item)].label];
    ++of_clip[item];
    if (item == 19) pictures.insert(pixels);
  }
  CHECK(of_class.size() == 3);
  for (const auto& [label, count] : of_class) CHECK((count == 6 || count == 7));
  for (const auto& [item, count] : of_clip) CHECK(count <= (item < 15 ? 1 : item < 19 ? 2 : 7));
  CHECK(of_clip[19] >= 6);
  CHECK(std::ssize(pictures) == of_clip[19]);
  CHECK((epoch(0, 3) == first));
  CHECK((epoch(0, 2, 2) == Epoch(first.begin() + 12, first.end())));
  const Epoch second = epoch(1, 1);
  std::set<int64_t> frequent;
  for (const Epoch& each : {first, second})
    for (const auto& [item, pixels] : each)
      if (item < 15) frequent.insert(item);
  CHECK(frequent.size() > 7);
}
