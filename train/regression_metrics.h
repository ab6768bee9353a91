// How well numbers are predicted.
#pragma once

#include "train/metrics.h"

namespace engine {

// Over the samples, with y the prediction and t the target in the units of the data:
//   r2   1 - sum (y - t)^2 / sum (t - mean t)^2; NaN where the target is the same in all samples, and without samples;
//   mae  mean of |y - t|; NaN without samples.
// Of all: r2 the mean over the targets where it is a number, NaN when there is none; mae the mean over the targets,
// whatever their units. The loss is the mean of ((y - t) / deviation)^2 over samples and targets.
class RegressionMetrics : public Metrics {
 public:
  // One mean and one deviation per target: y = mean + deviation x output.
  explicit RegressionMetrics(Standardization targets);

  void add(std::span<const float> outputs, std::span<const double> targets) override;
  Evaluation result() const override;

 private:
  struct Sums {
    double squares = 0, distances = 0;  // of y - t
    double mean = 0, spread = 0;        // of t so far; spread: sum (t - mean)^2, kept up by Welford's method
    double least = 0, most = 0;         // of t
  };

  Standardization targets_;
  std::vector<Sums> sums_;
  int64_t samples_ = 0;
};

}  // namespace engine
