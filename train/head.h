// What the heads differ in: how a network's outputs are trained, and what they say.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "train/checkpoint.h"

namespace engine {

using HeadNames = std::vector<std::pair<std::string, Head>>;
inline const HeadNames kHeadNames = {
    {"classification", Head::classification}, {"regression", Head::regression}, {"multilabel", Head::multilabel}};
const std::string& name_of(Head head);
// What an output of the network stands for: "class", "target", "label", or more than one.
std::string output_word(Head head, bool plural = false);

// Mean and deviation (of the whole, divided by N) of the targets of a regression's training clips; nothing for other
// heads. Throws Error (kData) for a target that is the same in all clips.
Standardization standardization(const Dataset& dataset);

// A batch's labels (io/loader.h) as objective() takes them: i64 (N) for classes; (N, outputs) f32 for the other heads,
// numbers standardised.
Tensor training_targets(const ModelFile& model, const Tensor& labels);

struct Objective {
  double label_smoothing = 0.0;  // of classification
  // (outputs) f32, or undefined: all 1. classification: of classes; multilabel: of the clips that have a label.
  Tensor weights{};
};
// What training minimises: cross-entropy, mean squared error of standardised targets, or binary cross-entropy. The mean
// over clips (and targets or labels) of outputs (N, outputs), of shape (), f32. Targets of classes may be rows of
// probabilities (N, classes) f32, too; smoothing and weights are then no concern of this.
Tensor objective(Head head, const Tensor& outputs, const Tensor& targets, const Objective& options);

// What a row of outputs says, in double precision: the probability of each class or label, or numbers in the units of
// the data.
std::vector<double> predictions(const ModelFile& model, std::span<const float> outputs);

// A clip is taken to have the labels whose probability is over this.
inline constexpr double kLabelThreshold = 0.5;
double sigmoid(double x);
// Softmax.
std::vector<double> class_probabilities(std::span<const float> logits);

}  // namespace engine
