// Run folders without a training, for the suites of the log and the report.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "engine/random.h"
#include "tests/program_run.h"
#include "train/mistakes.h"
#include "train/run_log.h"

namespace engine::test {

inline ModelFile described(Head head, const std::vector<std::string>& outputs) {
  ModelFile model;
  model.model = "sora-cnn";
  model.head = head;
  model.classes = outputs;
  model.preprocessing.frames = 4;
  if (head == Head::regression)
    model.targets = {std::vector<double>(outputs.size(), 0.5), std::vector<double>(outputs.size(), 2.0)};
  return model;
}

// Outputs and targets of a sample, drawn by number.
struct Drawn {
  std::vector<float> outputs;
  std::vector<double> targets;
};
inline Drawn drawn(const ModelFile& model, int64_t sample, uint64_t seed) {
  Random random(seed + static_cast<uint64_t>(sample));
  const auto count = std::ssize(model.classes);
  Drawn result;
  for (int64_t i = 0; i < count; ++i) {
    result.outputs.push_back(static_cast<float>(random.normal()));
    result.targets.push_back(model.head == Head::regression ? random.normal() : random.below(2));
  }
  if (model.head == Head::classification) result.targets = {static_cast<double>(sample % count)};
  return result;
}

inline Evaluation drawn_evaluation(const ModelFile& model, int64_t samples, uint64_t seed) {
  const auto metrics = make_metrics(model);
  for (int64_t i = 0; i < samples; ++i) {
    const Drawn sample = drawn(model, i, seed);
    metrics->add(sample.outputs, sample.targets);
  }
  return metrics->result();
}

inline RunFacts facts_of(const ModelFile& model) {
  return {.model = &model,
          .data = "videos & <more>",
          .split = "folders train and test",
          .train = 70,
          .val = 13,
          .test = 17,
          .parameters = 373386,
          .epochs = 3,
          .steps_per_epoch = 7,
          .batch = 10,
          .device = "cpu, f32",
          .threads = 1};
}

inline EpochReport report_of(const ModelFile& model, int64_t epoch, int64_t validation_samples) {
  return {.epoch = epoch,
          .train_loss = 1.9 / static_cast<double>(epoch),
          .seconds = 3.25,
          .clips_per_second = 41.5,
          .validation = drawn_evaluation(model, validation_samples, static_cast<uint64_t>(epoch)),
          .best = epoch != 2};
}

inline const std::vector<NamedTensor>& some_parameters() {
  static const std::vector<NamedTensor> parameters = {{"conv1.weight", Tensor::full({3, 5}, 0.25)}};
  return parameters;
}

// Logs steps first .. last of a run of seven steps an epoch, and its epochs.
inline void log_steps(RunLog& log, const ModelFile& model, int64_t first, int64_t last, int64_t validation_samples) {
  LoaderStats loading;
  loading.wait_seconds = 0.5;
  for (int64_t step = first; step <= last; ++step) {
    const int64_t epoch = (step + 6) / 7;
    log.step({.epoch = epoch,
              .result = {.loss = step == 5 ? NAN : 2.5 / static_cast<double>(step),
                         .skipped = step == 5,
                         .step = step,
                         .learning_rate = 1e-3 / static_cast<double>(step)}});
    if (step % 10 == 0) log.checkpoint(step, "ckpt");
    if (step % 7 != 0) continue;
    log.epoch(report_of(model, epoch, validation_samples), loading, step, some_parameters(), model.classes);
    log.checkpoint(step, "ckpt");
  }
}

// Clips of random pixels, judged.
inline void log_mistakes(RunLog& log, const ModelFile& model, int64_t samples, const std::string& part) {
  Dataset dataset{.samples = {}, .classes = model.classes, .source = {}, .head = model.head};
  for (int64_t i = 0; i < samples; ++i)
    dataset.samples.push_back({.path = {}, .name = "clip<" + std::to_string(i) + ">&.mp4"});
  Mistakes mistakes(model, dataset, 5);
  Random random(8);
  for (int64_t i = 0; i < samples; ++i) {
    const Drawn sample = drawn(model, i, 3);
    const Tensor clip = Tensor::empty({4, 21, 30, 3}, DType::u8);
    for (uint8_t& each : clip.values<uint8_t>()) each = static_cast<uint8_t>(random.below(256));
    mistakes.add({i, sample.outputs, sample.targets, clip});
  }
  mistakes.write(log, part, 21);
}

}  // namespace engine::test
