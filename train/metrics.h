// What an evaluation reports of a classifier.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace engine {

// Softmax of one row of logits, computed in double precision.
std::vector<double> class_probabilities(std::span<const float> logits);

// Sums over samples; every figure is exact whatever the batches were.
class Metrics {
 public:
  explicit Metrics(int64_t classes) : classes_(classes), confusion_(static_cast<size_t>(classes * classes)) {}

  // One sample: its logits, one per class, and its label. The prediction is the first of the largest logits.
  void add(std::span<const float> logits, int64_t label);

  int64_t classes() const { return classes_; }
  int64_t samples() const { return samples_; }
  // Mean cross-entropy over the samples, in nats, unweighted and without label smoothing; NaN when there are none.
  double loss() const;
  // The part of the samples whose prediction is the label; NaN when there are none.
  double accuracy() const;
  // Samples with label `truth` that were predicted as `prediction`.
  int64_t count(int64_t truth, int64_t prediction) const;
  int64_t labelled(int64_t truth) const;        // samples of a class
  int64_t predicted(int64_t prediction) const;  // samples taken for a class
  double recall(int64_t truth) const;           // NaN for a class without samples
  double precision(int64_t prediction) const;   // NaN for a class never predicted
  // The mean of the recalls of the classes that have samples; NaN when there are none.
  double mean_recall() const;

 private:
  int64_t classes_, samples_ = 0;
  double loss_sum_ = 0;
  std::vector<int64_t> confusion_;  // row: label, column: prediction
};

// Samples, recall and precision of every class, one line each.
std::string class_table(const Metrics& metrics, const std::vector<std::string>& names);
// Rows: labels; columns: predictions. Columns are numbered where there is no room for names.
std::string confusion_table(const Metrics& metrics, const std::vector<std::string>& names);

}  // namespace engine
