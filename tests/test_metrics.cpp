#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "engine/tensor.h"
#include "train/head.h"
#include "train/metrics.h"

using engine::class_probabilities;
using engine::ClassMetrics;

namespace {

constexpr double kTight = 1e-12;

void add(ClassMetrics& metrics, std::array<float, 3> logits, int64_t label) { metrics.add(logits, label); }

}  // namespace

TEST_CASE("metrics: loss is the mean cross-entropy over samples") {
  ClassMetrics metrics(3);
  add(metrics, {0, 0, 0}, 1);               // ln 3
  add(metrics, {std::log(2.0f), 0, 0}, 0);  // ln 2
  add(metrics, {1e4f, -1e4f, 0}, 0);        // 0
  add(metrics, {0, 1e4f, 0}, 0);            // 1e4
  const double expected = (std::log(3.0) + std::log(2.0) + 0 + 1e4) / 4;
  CHECK(metrics.loss() == doctest::Approx(expected).epsilon(1e-8));
  CHECK(metrics.samples() == 4);
}

TEST_CASE("metrics: accuracy, recall, precision and confusion of a case worked out by hand") {
  ClassMetrics metrics(3);
  add(metrics, {2, 1, 0}, 0);
  add(metrics, {2, 1, 0}, 0);
  add(metrics, {0, 1, 0}, 0);
  add(metrics, {0, 1, 0}, 1);
  CHECK(metrics.accuracy() == doctest::Approx(0.75).epsilon(kTight));
  CHECK(metrics.count(0, 0) == 2);
  CHECK(metrics.count(0, 1) == 1);
  CHECK(metrics.count(1, 0) == 0);
  CHECK(metrics.recall(0) == doctest::Approx(2.0 / 3).epsilon(kTight));
  CHECK(metrics.precision(1) == doctest::Approx(0.5).epsilon(kTight));
  CHECK(std::isnan(metrics.recall(2)));
  CHECK(std::isnan(metrics.precision(2)));
  CHECK(metrics.mean_recall() == doctest::Approx((2.0 / 3 + 1.0) / 2).epsilon(kTight));
}

TEST_CASE("metrics: no samples is no number, not zero") {
  const ClassMetrics metrics(2);
  CHECK(std::isnan(metrics.loss()));
  CHECK(std::isnan(metrics.accuracy()));
  CHECK(std::isnan(metrics.mean_recall()));
}

TEST_CASE("metrics: of equal logits the first counts, and wrong labels are refused") {
  ClassMetrics metrics(3);
  add(metrics, {1, 1, 1}, 0);
  CHECK(metrics.count(0, 0) == 1);
  CHECK_THROWS_AS(add(metrics, {1, 1, 1}, 3), engine::Error);
  CHECK_THROWS_AS(add(metrics, {1, 1, 1}, -1), engine::Error);
  CHECK_THROWS_AS(metrics.add(std::array<float, 2>{1, 1}, 0), engine::Error);
}

TEST_CASE("metrics: probabilities sum to one however large the logits") {
  const auto probabilities = class_probabilities(std::array<float, 3>{1e5f, 1e5f, -1e5f});
  CHECK(probabilities[0] == doctest::Approx(0.5));
  CHECK(probabilities[1] == doctest::Approx(0.5));
  CHECK(probabilities[2] == 0.0);
}

TEST_CASE("metrics: tables name every class and hold every count") {
  ClassMetrics metrics(2);
  metrics.add(std::array<float, 2>{1, 0}, 0);
  metrics.add(std::array<float, 2>{1, 0}, 1);
  const std::string classes = output_table(metrics.result(), {"left", "right"});
  CHECK(classes ==
        "class  samples  recall  precision     F1\n"
        "left         1   1.000      0.500  0.667\n"
        "right        1   0.000          -  0.000\n");
  const std::string confusion = confusion_table(metrics.result(), {"left", "right"});
  CHECK(confusion ==
        "label          0     1  (predicted)\n"
        "  0 left       1     0\n"
        "  1 right      1     0\n");
}
