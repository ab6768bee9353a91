// What an evaluation reports of a model.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "train/checkpoint.h"

namespace engine {

struct Figure {
  enum class Kind { fraction, count, quantity };  // a quantity is in the units of the data

  std::string key;    // in JSON and CSV: "mean_class_recall"
  std::string title;  // in lines and tables: "mean class recall"
  double value = 0;   // NaN: not defined for these samples
  Kind kind = Kind::fraction;
};
// Three decimals, or four digits of a quantity; "-" for NaN.
std::string to_text(const Figure& figure);

// What an evaluation found, in the terms of the head.
struct Evaluation {
  Head head = Head::classification;
  int64_t samples = 0;
  // Mean over the samples of the objective, without weights and label smoothing; NaN when there are none.
  double loss = std::numeric_limits<double>::quiet_NaN();
  std::vector<Figure> figures{};                  // of all samples; the higher the first one, the better
  std::vector<Figure> more{};                     // of all samples, too; what need not be told every epoch
  std::vector<std::vector<Figure>> outputs{};     // of each class, target or label: alike in all of them
  std::vector<std::vector<int64_t>> confusion{};  // classification: row: label, column: prediction

  double score() const { return figures.front().value; }
};

// Sums over samples; every figure is exact whatever the batches were.
class Metrics {
 public:
  virtual ~Metrics() = default;
  // One sample: the network's outputs for it, and its label or its targets.
  virtual void add(std::span<const float> outputs, std::span<const double> targets) = 0;
  virtual Evaluation result() const = 0;
};

// Those of the model's head: ClassMetrics, RegressionMetrics (train/regression_metrics.h) or LabelMetrics
// (train/label_metrics.h).
std::unique_ptr<Metrics> make_metrics(const ModelFile& model);

// accuracy and mean_class_recall, and more: macro_f1, the mean of the classes' F1 that are numbers, and of more than
// five classes top5_accuracy. Of each class clips, recall, precision and f1 = 2 TP / (2 TP + FP + FN).
class ClassMetrics : public Metrics {
 public:
  explicit ClassMetrics(int64_t classes) : classes_(classes), confusion_(static_cast<size_t>(classes * classes)) {}

  // One sample: its logits, one per class, and its label. The prediction is the first of the largest logits.
  void add(std::span<const float> logits, int64_t label);
  void add(std::span<const float> outputs, std::span<const double> targets) override;
  Evaluation result() const override;

  int64_t classes() const { return classes_; }
  int64_t samples() const { return samples_; }
  // Mean cross-entropy over the samples, in nats, unweighted and without label smoothing; NaN when there are none.
  double loss() const;
  // The part of the samples whose prediction is the label; NaN when there are none.
  double accuracy() const;
  // The part of the samples whose label is among the `k` largest logits, of equal ones the first; NaN when there are
  // none. k: 1 to 5.
  double top_accuracy(int64_t k) const;
  // Samples with label `truth` that were predicted as `prediction`.
  int64_t count(int64_t truth, int64_t prediction) const;
  int64_t labelled(int64_t truth) const;        // samples of a class
  int64_t predicted(int64_t prediction) const;  // samples taken for a class
  double recall(int64_t truth) const;           // NaN for a class without samples
  double precision(int64_t prediction) const;   // NaN for a class never predicted
  double f1(int64_t label) const;               // NaN for a class without samples that is never predicted
  // The mean of the recalls of the classes that have samples; NaN when there are none.
  double mean_recall() const;

 private:
  int64_t classes_, samples_ = 0;
  double loss_sum_ = 0;
  std::vector<int64_t> confusion_;   // row: label, column: prediction
  std::array<int64_t, 5> ranked_{};  // samples by the number of logits before their label's
};

// The mean of the values that are numbers; NaN when none is.
double mean_of_numbers(std::span<const double> values);

// The figures of every class, target or label, one line each.
std::string output_table(const Evaluation& evaluation, const std::vector<std::string>& names);
// The classes of the lowest recall under 1, at most `count`, a line each: "star: 3 of 20 right; most taken for disc,
// 9"; empty where there is none.
std::string worst_classes(const Evaluation& evaluation, const std::vector<std::string>& names, size_t count);
// Rows: labels; columns: predictions. Columns are numbered where there is no room for names.
std::string confusion_table(const Evaluation& evaluation, const std::vector<std::string>& names);

}  // namespace engine
