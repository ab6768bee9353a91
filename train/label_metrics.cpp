#include "train/label_metrics.h"

#include <algorithm>
#include <cmath>

#include "engine/tensor.h"
#include "train/head.h"

namespace engine {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double f1(int64_t right, int64_t wrong, int64_t missing) {
  const auto both = static_cast<double>(2 * right);
  return right + wrong + missing > 0 ? both / (both + static_cast<double>(wrong + missing)) : kNone;
}

double average_precision(std::vector<std::pair<float, bool>> samples) {
  std::ranges::sort(samples, std::greater{}, &std::pair<float, bool>::first);
  double sum = 0, taken = 0, found = 0;
  for (size_t i = 0; i < samples.size();) {
    const double before = found;
    for (const float score = samples[i].first; i < samples.size() && samples[i].first == score; ++i) {
      ++taken;
      found += samples[i].second ? 1 : 0;
    }
    sum += (found - before) * found / taken;
  }
  return found > 0 ? sum / found : kNone;
}

}  // namespace

void LabelMetrics::add(std::span<const float> outputs, std::span<const double> targets) {
  ENGINE_CHECK(outputs.size() == labels_.size() && targets.size() == labels_.size(), "metrics: ", outputs.size(),
               " outputs and ", targets.size(), " targets, expected ", labels_.size(), " of each");
  bool all_right = true;
  for (size_t k = 0; k < labels_.size(); ++k) {
    Label& label = labels_[k];
    const auto logit = static_cast<double>(outputs[k]);
    const bool has = targets[k] > kLabelThreshold, predicted = sigmoid(logit) > kLabelThreshold;
    label.right += has && predicted ? 1 : 0;
    label.wrong += !has && predicted ? 1 : 0;
    label.missing += has && !predicted ? 1 : 0;
    all_right = all_right && has == predicted;
    // What is not a number cannot be sorted; it comes last.
    label.samples.emplace_back(std::isnan(outputs[k]) ? -std::numeric_limits<float>::infinity() : outputs[k], has);
    const double towards = has ? logit : -logit;
    loss_sum_ += std::log1p(std::exp(-std::abs(logit))) + std::max(-towards, 0.0);
  }
  all_right_ += all_right ? 1 : 0;
  ++samples_;
}

Evaluation LabelMetrics::result() const {
  Evaluation result{.head = Head::multilabel, .samples = samples_};
  Label all;
  std::vector<double> scores, precisions;
  for (const Label& label : labels_) {
    all.right += label.right;
    all.wrong += label.wrong;
    all.missing += label.missing;
    scores.push_back(f1(label.right, label.wrong, label.missing));
    precisions.push_back(average_precision(label.samples));
    result.outputs.push_back(
        {{"clips", "samples", static_cast<double>(label.right + label.missing), Figure::Kind::count},
         {"f1", "F1", scores.back()},
         {"ap", "AP", precisions.back()}});
  }
  const auto samples = static_cast<double>(samples_);
  if (samples_ > 0) result.loss = loss_sum_ / samples / static_cast<double>(labels_.size());
  result.figures = {
      {"micro_f1", "F1", f1(all.right, all.wrong, all.missing)},
      {"macro_f1", "macro F1", mean_of_numbers(scores)},
      {"map", "mAP", mean_of_numbers(precisions)},
      {"subset_accuracy", "subset accuracy", samples_ > 0 ? static_cast<double>(all_right_) / samples : kNone}};
  return result;
}

}  // namespace engine
