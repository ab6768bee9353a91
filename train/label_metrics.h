// How well several labels of a clip are predicted.
#pragma once

#include "train/metrics.h"

namespace engine {

// A label is predicted where its probability is over kLabelThreshold. With TP, FP and FN the right, the false and the
// missing predictions:
//   f1               2 TP / (2 TP + FP + FN); NaN for a label that no sample has and none is predicted to have;
//   micro_f1         the same of the sums of TP, FP, FN over the labels;
//   macro_f1         the mean of the labels' f1 that are numbers; NaN when there is none;
//   ap               average precision: the sum over the different probabilities, from the highest down, of the
//                    precision there times the recall gained; samples of equal probability are taken in together.
//                    NaN for a label that no sample has;
//   map              the mean of the labels' ap that are numbers; NaN when there is none;
//   subset_accuracy  the part of the samples that are right in every label; NaN without samples.
// The loss is the mean binary cross-entropy over samples and labels, in nats.
class LabelMetrics : public Metrics {
 public:
  explicit LabelMetrics(size_t labels) : labels_(labels) {}

  void add(std::span<const float> outputs, std::span<const double> targets) override;
  Evaluation result() const override;

 private:
  struct Label {
    int64_t right = 0, wrong = 0, missing = 0;
    std::vector<std::pair<float, bool>> samples;  // logit, and whether the sample has the label
  };

  std::vector<Label> labels_;
  int64_t samples_ = 0, all_right_ = 0;
  double loss_sum_ = 0;
};

}  // namespace engine
