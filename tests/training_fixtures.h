// Small networks, batches and videos for the suites of training.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/random.h"
#include "tests/program_run.h"
#include "train/trainer.h"

namespace engine::fixtures {

inline ModelFile description(int64_t classes, int64_t frames = 1, int64_t side = 16) {
  ModelFile file;
  file.model = "sora-cnn";
  for (int64_t label = 0; label < classes; ++label) file.classes.push_back(concat("class ", label));
  file.preprocessing.frames = frames;
  file.preprocessing.height = file.preprocessing.width = side;
  file.seed = 3;
  return file;
}

// One with statistics of batches in it.
inline ModelFile normed(ModelFile file) {
  file.model = "small";
  file.model_options["description"] = R"([[layer]]
type = "conv2d"
name = "first"
outputs = 5
stride = 2
[[layer]]
type = "batch_norm"
activation = "relu"
[[layer]]
type = "conv2d"
name = "second"
outputs = 7
activation = "relu"
)";
  return file;
}

// Noise with labels 0, 1, 2, ...: nothing to generalise, but something to learn by heart.
inline Batch noise_batch(const ModelFile& file, int64_t clips, uint64_t seed = 11) {
  const Preprocessing& p = file.preprocessing;
  Batch batch;
  batch.frames = Tensor::empty({clips, frames_to_read(p), p.height, p.width, 3}, DType::u8);
  Random random(seed);
  for (uint8_t& pixel : batch.frames.values<uint8_t>()) pixel = static_cast<uint8_t>(random.below(256));
  batch.labels = Tensor::empty({clips}, DType::i64);
  for (int64_t i = 0; i < clips; ++i) {
    batch.labels.values<int64_t>()[static_cast<size_t>(i)] = i % std::ssize(file.classes);
    batch.items.push_back(i);
  }
  return batch;
}

// Ten classes of small videos, two clips each, made once.
inline const Splits& videos() {
  static const TemporaryFolder folder;
  static const Splits splits = [] {
    program_run::make_videos(folder / "videos", 2, 1);
    SplitOptions options;
    options.val_fraction = 0;
    return open_splits(folder / "videos", options);
  }();
  return splits;
}

inline Batch part_of(const Batch& batch, int64_t begin, int64_t end) {
  return {batch.frames.slice(begin, end),
          batch.labels.slice(begin, end),
          {batch.items.begin() + begin, batch.items.begin() + end}};
}

inline TrainerOptions constant_rate(double rate) {
  TrainerOptions options;
  options.schedule = {.kind = ScheduleKind::constant, .peak = rate};
  return options;
}

// The tensors one after the other, in double precision.
inline std::vector<double> numbers(const std::vector<NamedTensor>& tensors) {
  std::vector<double> all;
  for (const NamedTensor& each : tensors) {
    const Tensor exact = cast(each.tensor.to(kCpu), DType::f64);
    all.insert(all.end(), exact.values<double>().begin(), exact.values<double>().end());
  }
  return all;
}

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

inline std::string refusal(const std::function<void()>& f, int code) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace engine::fixtures
