#include "train/regression_metrics.h"

#include <algorithm>
#include <cmath>

#include "engine/tensor.h"

namespace engine {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

RegressionMetrics::RegressionMetrics(Standardization targets)
    : targets_(std::move(targets)), sums_(targets_.mean.size()) {}

void RegressionMetrics::add(std::span<const float> outputs, std::span<const double> targets) {
  ENGINE_CHECK(outputs.size() == sums_.size() && targets.size() == sums_.size(), "metrics: ", outputs.size(),
               " outputs and ", targets.size(), " targets, expected ", sums_.size(), " of each");
  ++samples_;
  for (size_t k = 0; k < sums_.size(); ++k) {
    Sums& sums = sums_[k];
    const double target = targets[k];
    const double error = targets_.mean[k] + targets_.deviation[k] * static_cast<double>(outputs[k]) - target;
    sums.squares += error * error;
    sums.distances += std::abs(error);
    const double from_mean = target - sums.mean;
    sums.mean += from_mean / static_cast<double>(samples_);
    sums.spread += from_mean * (target - sums.mean);
    sums.least = samples_ == 1 ? target : std::min(sums.least, target);
    sums.most = samples_ == 1 ? target : std::max(sums.most, target);
  }
}

Evaluation RegressionMetrics::result() const {
  Evaluation result{.head = Head::regression, .samples = samples_};
  const auto count = static_cast<double>(samples_);
  std::vector<double> scores, distances, losses;
  for (size_t k = 0; k < sums_.size(); ++k) {
    const Sums& sums = sums_[k];
    scores.push_back(sums.least < sums.most ? 1 - sums.squares / sums.spread : kNone);
    distances.push_back(samples_ > 0 ? sums.distances / count : kNone);
    losses.push_back(samples_ > 0 ? sums.squares / (targets_.deviation[k] * targets_.deviation[k]) / count : kNone);
    result.outputs.push_back({{"r2", "R2", scores[k]}, {"mae", "MAE", distances[k], Figure::Kind::quantity}});
  }
  result.loss = mean_of_numbers(losses);
  result.figures = {{"r2", "R2", mean_of_numbers(scores)},
                    {"mae", "MAE", mean_of_numbers(distances), Figure::Kind::quantity}};
  return result;
}

}  // namespace engine
