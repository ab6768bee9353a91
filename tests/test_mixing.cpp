#include "train/mixing.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/ops.h"
#include "train/head.h"
#include "train/trainer.h"

using namespace engine;

namespace {

// Clips of bytes, one of each class.
struct Clips {
  Tensor frames, rows;
  explicit Clips(int64_t count, int64_t frames_of_each = 2, int64_t height = 7, int64_t width = 5) {
    frames = Tensor::empty({count, frames_of_each, height, width, 3}, DType::u8);
    Random random(2);
    for (uint8_t& pixel : frames.values<uint8_t>()) pixel = static_cast<uint8_t>(random.below(256));
    const Tensor labels = Tensor::empty({count}, DType::i64);
    for (int64_t i = 0; i < count; ++i) labels.values<int64_t>()[static_cast<size_t>(i)] = i;
    rows = class_rows(labels, count, 0);
  }
};

// What a row says of a clip: whom it was mixed with, and its own share.
struct Partner {
  size_t other;
  double share;
};
Partner partner_of(const Tensor& rows, size_t n) {
  const auto count = static_cast<size_t>(rows.size(0));
  const auto row = rows.values<float>().subspan(n * count, count);
  Partner partner{n, row[n]};
  double sum = 0;
  for (size_t c = 0; c < count; ++c) {
    sum += row[c];
    if (c != n && row[c] > 0) partner.other = c;
  }
  CHECK(sum == doctest::Approx(1).epsilon(1e-6));
  return partner;
}

}  // namespace

TEST_CASE("mixing: rows of classes are one label, smoothed") {
  const Tensor rows = class_rows(Tensor::from({int64_t{2}, int64_t{0}}), 4, 0.2);
  const std::vector<float> expected = {0.05f, 0.05f, 0.85f, 0.05f, 0.85f, 0.05f, 0.05f, 0.05f};
  for (size_t i = 0; i < expected.size(); ++i) CHECK(rows.values<float>()[i] == doctest::Approx(expected[i]));
  Random random(4);
  const Tensor logits = normal({2, 4}, 0, 2, random), labels = Tensor::from({int64_t{2}, int64_t{0}});
  const Objective smoothed{.label_smoothing = 0.2};
  CHECK(objective(Head::classification, logits, rows, smoothed).item() ==
        doctest::Approx(objective(Head::classification, logits, labels, smoothed).item()).epsilon(1e-6));
}

TEST_CASE("mixing: mixup blends pixels and targets by the same share") {
  const Clips clips(5);
  bool moved = false;
  for (uint64_t stream = 0; stream < 20; ++stream) {
    Random random(9, stream);
    const auto [frames, rows] = mix(clips.frames, clips.rows, {.mixup = 1.5}, random);
    const size_t size = clips.frames.values<uint8_t>().size() / 5;
    for (size_t n = 0; n < 5; ++n) {
      const auto [other, share] = partner_of(rows, n);
      moved = moved || (other != n && share > 0.2 && share < 0.8);
      double worst = 0;
      for (size_t i = 0; i < size; ++i) {
        const double own = clips.frames.values<uint8_t>()[n * size + i];
        const double its = clips.frames.values<uint8_t>()[other * size + i];
        const double mixed = share * own + (1 - share) * its;
        worst = std::max(worst, std::abs(frames.values<uint8_t>()[n * size + i] - mixed));
      }
      CHECK(worst <= 0.501);
    }
  }
  CHECK(moved);
}

TEST_CASE("mixing: cutmix puts one box of another clip into all frames, and shares are its area") {
  constexpr int64_t kFrames = 3, kHeight = 11, kWidth = 6;
  const Clips clips(4, kFrames, kHeight, kWidth);
  int cut = 0;
  for (uint64_t stream = 0; stream < 30; ++stream) {
    CAPTURE(stream);
    Random random(3, stream);
    const auto [frames, rows] = mix(clips.frames, clips.rows, {.cutmix = 1}, random);
    for (size_t n = 0; n < 4; ++n) {
      const auto [other, share] = partner_of(rows, n);
      if (other == n) continue;
      // Where all frames are the other clip's.
      int64_t top = kHeight, bottom = 0, left = kWidth, right = 0, count = 0, foreign = 0;
      for (int64_t h = 0; h < kHeight; ++h)
        for (int64_t w = 0; w < kWidth; ++w) {
          bool its = true, own = true;
          for (int64_t t = 0; t < kFrames; ++t)
            for (int64_t c = 0; c < 3; ++c) {
              const auto place = [&](size_t clip) {
                return ((clip * kFrames + static_cast<size_t>(t)) * kHeight + static_cast<size_t>(h)) * kWidth * 3 +
                       static_cast<size_t>(w * 3 + c);
              };
              const uint8_t pixel = frames.values<uint8_t>()[place(n)];
              its = its && pixel == clips.frames.values<uint8_t>()[place(other)];
              own = own && pixel == clips.frames.values<uint8_t>()[place(n)];
            }
          foreign += !its && !own ? 1 : 0;
          if (!its) continue;
          ++count;
          top = std::min(top, h), bottom = std::max(bottom, h + 1);
          left = std::min(left, w), right = std::max(right, w + 1);
        }
      CHECK(foreign == 0);
      CHECK(count == (bottom - top) * (right - left));
      CHECK(share == doctest::Approx(1 - static_cast<double>(count) / (kHeight * kWidth)).epsilon(1e-5));
      cut += count > 0 && count < kHeight * kWidth ? 1 : 0;
    }
  }
  CHECK(cut > 20);
}

TEST_CASE("mixing: shares are drawn from Beta(alpha, alpha), both kinds as often") {
  for (const double alpha : {0.2, 1.0, 3.0}) {
    CAPTURE(alpha);
    constexpr int kDraws = 8000;
    Random random(17, static_cast<uint64_t>(alpha * 10));
    double sum = 0, squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double x = draw_beta(alpha, random);
      REQUIRE((x >= 0 && x <= 1));
      sum += x, squares += (x - 0.5) * (x - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    CHECK(std::abs(sum / kDraws - 0.5) < 5 * std::sqrt(variance / kDraws));
    CHECK(std::abs(squares / kDraws - variance) < 5 * 0.3 * variance / std::sqrt(kDraws / 10.0));
  }
  Random tiny(1);
  for (int i = 0; i < 50; ++i) {
    const double x = draw_beta(1e-4, tiny);
    CHECK((x == doctest::Approx(0) || x == doctest::Approx(1)));
  }
  const Clips clips(3);
  int boxes = 0;
  for (uint64_t stream = 0; stream < 200; ++stream) {
    Random random(8, stream);
    // A share of nearly nothing but one of both: blends are then half and half, boxes are drawn with alpha 1.
    const auto [frames, rows] = mix(clips.frames, clips.rows, {.mixup = 100, .cutmix = 1}, random);
    const double share = partner_of(rows, 0).share;
    boxes += share == 1 || share < 0.35 || share > 0.65 ? 1 : 0;
  }
  CHECK(boxes > 60);
  CHECK(boxes < 150);
}

TEST_CASE("mixing: a trainer's draws are a function of its seed and step") {
  ModelFile file;
  file.model = "sora-cnn";
  file.classes = {"a", "b", "c"};
  file.preprocessing.frames = 1;
  file.preprocessing.height = file.preprocessing.width = 8;
  const Clips clips(3, 1, 8, 8);
  const Batch batch{clips.frames, Tensor::from({int64_t{0}, int64_t{1}, int64_t{2}}), {0, 1, 2}};
  const auto losses = [&](uint64_t seed, const MixingOptions& mixing) {
    Classifier classifier(file);
    TrainerOptions options;
    options.schedule = {.kind = ScheduleKind::constant, .peak = 1e-30};
    options.seed = seed;
    options.mixing = mixing;
    Trainer trainer(classifier, options);
    std::vector<double> result;
    for (int step = 0; step < 4; ++step) result.push_back(trainer.step(batch).loss);
    return result;
  };
  const std::vector<double> mixed = losses(1, {.mixup = 1}), plain = losses(1, {});
  CHECK(losses(1, {.mixup = 1}) == mixed);
  CHECK(losses(2, {.mixup = 1}) != mixed);
  CHECK(mixed[0] != mixed[1]);
  CHECK(plain[0] == plain[1]);
  CHECK(mixed[0] != plain[0]);
}
