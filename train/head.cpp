#include "train/head.h"

#include <algorithm>
#include <cmath>

#include "engine/ops.h"
#include "io/text.h"

namespace engine {

const std::string& name_of(Head head) {
  return std::ranges::find(kHeadNames, head, &HeadNames::value_type::second)->first;
}

std::string output_word(Head head, bool plural) {
  if (head == Head::classification) return plural ? "classes" : "class";
  return concat(head == Head::regression ? "target" : "label", plural ? "s" : "");
}

Standardization standardization(const Dataset& dataset) {
  Standardization result;
  if (dataset.head != Head::regression) return result;
  const auto clips = static_cast<double>(dataset.samples.size());
  for (size_t k = 0; k < dataset.classes.size(); ++k) {
    double mean = 0, squares = 0;
    for (const Sample& sample : dataset.samples) mean += sample.targets[k] / clips;
    for (const Sample& sample : dataset.samples) squares += (sample.targets[k] - mean) * (sample.targets[k] - mean);
    const auto [least, most] = std::ranges::minmax(dataset.samples, {}, [k](const Sample& s) { return s.targets[k]; });
    if (least.targets[k] == most.targets[k])
      throw Error(concat(escaped(dataset.source), ": target '", escaped(dataset.classes[k]), "' is ", mean,
                         " in every training clip, so that there is nothing to learn; leave it out"),
                  exit_code::kData);
    result.mean.push_back(mean);
    result.deviation.push_back(std::sqrt(squares / clips));
  }
  return result;
}

Tensor training_targets(const ModelFile& model, const Tensor& labels) {
  if (model.head == Head::classification) return labels;
  const Tensor targets = Tensor::empty(labels.shape(), DType::f32);
  const std::span<const double> from = labels.values<double>();
  const std::span<float> to = targets.values<float>();
  const size_t outputs = model.classes.size();
  const auto& [mean, deviation] = model.targets;
  for (size_t i = 0; i < from.size(); ++i)
    to[i] = static_cast<float>(model.head == Head::multilabel ? from[i]
                                                              : (from[i] - mean[i % outputs]) / deviation[i % outputs]);
  return targets;
}

Tensor objective(Head head, const Tensor& outputs, const Tensor& targets, const Objective& options) {
  if (head == Head::classification && is_float(targets.dtype()))
    return soft_cross_entropy(cast(outputs, DType::f32), targets);
  if (head == Head::classification)
    return cross_entropy(outputs, targets, {.label_smoothing = options.label_smoothing}, options.weights);
  const Tensor x = cast(outputs, DType::f32);
  return head == Head::regression ? mse_loss(x, targets) : binary_cross_entropy(x, targets, options.weights);
}

std::vector<double> predictions(const ModelFile& model, std::span<const float> outputs) {
  if (model.head == Head::classification) return class_probabilities(outputs);
  std::vector<double> result;
  for (size_t k = 0; k < outputs.size(); ++k) {
    const auto x = static_cast<double>(outputs[k]);
    result.push_back(model.head == Head::multilabel ? sigmoid(x)
                                                    : model.targets.mean[k] + model.targets.deviation[k] * x);
  }
  return result;
}

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }

std::vector<double> class_probabilities(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> result;
  double sum = 0;
  for (const float logit : logits) sum += result.emplace_back(std::exp(logit - largest));
  for (double& value : result) value /= sum;
  return result;
}

}  // namespace engine
