// A network judged on labelled clips.
#pragma once

#include <functional>
#include <optional>

#include "engine/recording.h"
#include "io/loader.h"
#include "train/classifier.h"
#include "train/metrics.h"

namespace engine {

// Applies a classifier to clips, each by itself: a library may choose another order of summation for another batch
// size, and a clip's result must not depend on its company. Where the device can, the work of one clip is recorded and
// replayed for the others.
class Evaluator {
 public:
  // The classifier must outlive the evaluator, and its parameters stay where they are; they may change.
  explicit Evaluator(Classifier& classifier) : classifier_(classifier) {}

  // The outputs for every clip of `frames` (N, frames_to_read, H, W, 3), u8, as f32 (N, outputs) on the CPU; the same
  // sizes in every call. The network goes into evaluation mode and back.
  Tensor operator()(const Tensor& frames);
  Classifier& classifier() const { return classifier_; }

 private:
  Tensor logits(const Tensor& clip);

  Classifier& classifier_;
  std::optional<Uploader> clip_;  // the input of a recorded pass
  int64_t warm_up_clips_ = 0;
  std::unique_ptr<Recording> recording_;
  Tensor recorded_logits_;
};

// What several views of one video say together, as outputs of the network: of classes and labels with the mean of the
// views' probabilities, of numbers the mean. `views` are as many outputs each; a single one is itself.
std::vector<float> mean_outputs(Head head, const std::vector<std::vector<float>>& views);

struct ViewsEvaluation {
  Evaluation videos;  // mean_outputs() of each video's views
  Evaluation views;   // every view for itself
};

// Told of every view: the number of the sample, the network's outputs, its label or targets.
using TellView = std::function<void(int64_t sample, std::span<const float> outputs, std::span<const double> targets)>;

// Gathers views, those of one sample one after another.
class ViewsMetrics {
 public:
  // `finished` is told of every sample when its views are complete, with mean_outputs() of them.
  explicit ViewsMetrics(const ModelFile& model, TellView finished = {});
  // One view of sample `sample`: outputs and targets as Metrics::add() takes them.
  void add(int64_t sample, std::span<const float> outputs, std::span<const double> targets);
  ViewsEvaluation result();

 private:
  void finish_sample();

  Head head_;
  TellView finished_;
  std::unique_ptr<Metrics> videos_, each_;
  int64_t sample_ = -1;
  std::vector<std::vector<float>> views_;  // of it
  std::vector<double> target_;
};

// What was found of one video.
struct JudgedVideo {
  int64_t sample = 0;               // its number in the data set
  std::span<const float> outputs;   // mean_outputs() of its views
  std::span<const double> targets;  // its label, or its targets
  Tensor clip;                      // u8 (frames_to_read, H, W, 3): its first view
};
using VideoObserver = std::function<void(const JudgedVideo&)>;

// Over all clips that the loader gives: one made with evaluation_loader() (train/data_options.h) leaves out those that
// cannot be decoded. Clips of one sample that follow each other are views of it. `proceed` is asked after each batch;
// false ends the evaluation early. `tell` is told of every view, `observe` of every video.
ViewsEvaluation evaluate_views(Classifier& classifier, Loader& clips, const std::function<bool()>& proceed = {},
                               const TellView& tell = {}, const VideoObserver& observe = {});
// Its `videos`.
Evaluation evaluate(Classifier& classifier, Loader& clips, const std::function<bool()>& proceed = {});

}  // namespace engine
