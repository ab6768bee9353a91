#include "train/metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/tensor.h"

namespace engine {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : kNone;
}

std::string figure(double value) { return std::isnan(value) ? "-" : fmt::format("{:.3f}", value); }

size_t widest(const std::vector<std::string>& names, size_t least) {
  for (const auto& name : names) least = std::max(least, name.size());
  return least;
}

}  // namespace

std::vector<double> class_probabilities(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> result;
  double sum = 0;
  for (const float logit : logits) sum += result.emplace_back(std::exp(logit - largest));
  for (double& value : result) value /= sum;
  return result;
}

void Metrics::add(std::span<const float> logits, int64_t label) {
  ENGINE_CHECK(static_cast<int64_t>(logits.size()) == classes_, "metrics: ", logits.size(), " logits for ", classes_,
               " classes");
  ENGINE_CHECK(label >= 0 && label < classes_, "metrics: label ", label, " of ", classes_, " classes");
  const auto largest = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - *largest);
  loss_sum_ += std::log(sum) + *largest - logits[static_cast<size_t>(label)];
  ++confusion_[static_cast<size_t>(label * classes_ + (largest - logits.begin()))];
  ++samples_;
}

int64_t Metrics::count(int64_t truth, int64_t prediction) const {
  return confusion_[static_cast<size_t>(truth * classes_ + prediction)];
}

int64_t Metrics::labelled(int64_t truth) const {
  int64_t sum = 0;
  for (int64_t prediction = 0; prediction < classes_; ++prediction) sum += count(truth, prediction);
  return sum;
}

int64_t Metrics::predicted(int64_t prediction) const {
  int64_t sum = 0;
  for (int64_t truth = 0; truth < classes_; ++truth) sum += count(truth, prediction);
  return sum;
}

double Metrics::loss() const { return samples_ > 0 ? loss_sum_ / static_cast<double>(samples_) : kNone; }

double Metrics::accuracy() const {
  int64_t right = 0;
  for (int64_t label = 0; label < classes_; ++label) right += count(label, label);
  return ratio(right, samples_);
}

double Metrics::recall(int64_t truth) const { return ratio(count(truth, truth), labelled(truth)); }

double Metrics::precision(int64_t prediction) const {
  return ratio(count(prediction, prediction), predicted(prediction));
}

double Metrics::mean_recall() const {
  double sum = 0;
  int64_t present = 0;
  for (int64_t label = 0; label < classes_; ++label) {
    if (labelled(label) == 0) continue;
    sum += recall(label);
    ++present;
  }
  return present > 0 ? sum / static_cast<double>(present) : kNone;
}

std::string class_table(const Metrics& metrics, const std::vector<std::string>& names) {
  const size_t width = widest(names, 5);
  std::string text = fmt::format("{:<{}}  {:>7}  {:>6}  {:>9}\n", "class", width, "samples", "recall", "precision");
  for (int64_t label = 0; label < metrics.classes(); ++label)
    text += fmt::format("{:<{}}  {:>7}  {:>6}  {:>9}\n", names[static_cast<size_t>(label)], width,
                        metrics.labelled(label), figure(metrics.recall(label)), figure(metrics.precision(label)));
  return text;
}

std::string confusion_table(const Metrics& metrics, const std::vector<std::string>& names) {
  const size_t width = widest(names, 5) + 4;
  const auto head = [&](int64_t label) { return fmt::format("{:>3} {}", label, names[static_cast<size_t>(label)]); };
  std::string text = fmt::format("{:<{}} ", "label", width);
  for (int64_t column = 0; column < metrics.classes(); ++column) text += fmt::format("{:>6}", column);
  text += "  (predicted)\n";
  for (int64_t row = 0; row < metrics.classes(); ++row) {
    text += fmt::format("{:<{}} ", head(row), width);
    for (int64_t column = 0; column < metrics.classes(); ++column)
      text += fmt::format("{:>6}", metrics.count(row, column));
    text += "\n";
  }
  return text;
}

}  // namespace engine
