#include "train/evaluate.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "train/step_profile.h"

namespace engine {
namespace {

constexpr int64_t kWarmUpClips = 2;  // before a pass is recorded: plans are chosen then

// log(sum(exp(x))).
double log_of_sum(const std::vector<double>& x) {
  const double largest = std::ranges::max(x);
  double sum = 0;
  for (const double each : x) sum += std::exp(each - largest);
  return largest + std::log(sum);
}

// A copy: the loader takes its batches' memory back.
Tensor clip_of(const Tensor& frames, size_t i) {
  const auto n = static_cast<int64_t>(i);
  const Shape shape(frames.shape().begin() + 1, frames.shape().end());
  const Tensor clip = Tensor::empty(shape, frames.dtype());
  clip.copy_from(frames.slice(n, n + 1).reshape(shape));
  return clip;
}

}  // namespace

Tensor Evaluator::logits(const Tensor& clip) {
  const Device device = classifier_.device();
  if (!can_record(device)) return classifier_.logits(clip);
  if (!clip_) clip_.emplace(Tensor::empty(clip.shape(), clip.dtype(), device));
  (*clip_)(clip);
  if (warm_up_clips_ < kWarmUpClips) {
    ++warm_up_clips_;
    return classifier_.logits(clip_->target());
  }
  if (!recording_) recording_ = record_work(device, [this] { recorded_logits_ = classifier_.logits(clip_->target()); });
  recording_->replay();
  return recorded_logits_;
}

Tensor Evaluator::operator()(const Tensor& frames) {
  const NoGrad no_grad;
  const bool was_training = classifier_.network().training();
  classifier_.network().eval();
  const Tensor all =
      Tensor::empty({frames.size(0), std::ssize(classifier_.classes())}, DType::f32, classifier_.device());
  for (int64_t n = 0; n < frames.size(0); ++n) all.slice(n, n + 1).copy_from(logits(frames.slice(n, n + 1)));
  classifier_.network().train(was_training);
  return all.to(kCpu);
}

std::vector<float> mean_outputs(Head head, const std::vector<std::vector<float>>& views) {
  if (views.size() == 1) return views[0];
  std::vector<std::vector<double>> logs;  // of each view: of its probabilities; or its numbers
  for (const std::vector<float>& view : views) {
    std::vector<double>& row = logs.emplace_back(view.begin(), view.end());
    if (head != Head::classification) continue;
    const double all = log_of_sum(row);
    for (double& each : row) each -= all;
  }
  std::vector<float> result;
  for (size_t k = 0; k < views[0].size(); ++k) {
    std::vector<double> with, without;  // of label k: the logarithms of its probability and of 1 minus that
    double sum = 0;
    for (const std::vector<double>& row : logs) {
      sum += row[k];
      with.push_back(head == Head::multilabel ? -log_of_sum({0, -row[k]}) : row[k]);
      without.push_back(-log_of_sum({0, row[k]}));
    }
    const auto count = static_cast<double>(views.size());
    result.push_back(static_cast<float>(head == Head::regression   ? sum / count
                                        : head == Head::multilabel ? log_of_sum(with) - log_of_sum(without)
                                                                   : log_of_sum(with) - std::log(count)));
  }
  return result;
}

ViewsMetrics::ViewsMetrics(const ModelFile& model, TellView finished)
    : head_(model.head), finished_(std::move(finished)), videos_(make_metrics(model)), each_(make_metrics(model)) {}

void ViewsMetrics::add(int64_t sample, std::span<const float> outputs, std::span<const double> targets) {
  if (sample != sample_) finish_sample();
  sample_ = sample;
  each_->add(outputs, targets);
  views_.emplace_back(outputs.begin(), outputs.end());
  target_.assign(targets.begin(), targets.end());
}

void ViewsMetrics::finish_sample() {
  if (views_.empty()) return;
  const std::vector<float> outputs = mean_outputs(head_, views_);
  videos_->add(outputs, target_);
  if (finished_) finished_(sample_, outputs, target_);
  views_.clear();
}

ViewsEvaluation ViewsMetrics::result() {
  finish_sample();
  return {videos_->result(), each_->result()};
}

ViewsEvaluation evaluate_views(Classifier& classifier, Loader& clips, const std::function<bool()>& proceed,
                               const TellView& tell, const VideoObserver& observe) {
  Evaluator evaluator(classifier);
  Tensor first_view;  // of the video at hand, where someone observes
  int64_t video = -1;
  ViewsMetrics metrics(classifier.description(),
                       [&](int64_t sample, std::span<const float> outputs, std::span<const double> targets) {
                         if (observe) observe({sample, outputs, targets, first_view});
                       });
  Batch batch;
  clips.start_epoch(0);
  while (next_clips(clips, batch)) {
    const Tensor outputs = evaluator(batch.frames), targets = cast(batch.labels, DType::f64);
    const std::span<const float> values = outputs.values<float>();
    const std::span<const double> truths = targets.values<double>();
    const size_t count = batch.items.size(), columns = values.size() / count, truth = truths.size() / count;
    for (size_t i = 0; i < count; ++i) {
      const auto row = values.subspan(i * columns, columns);
      const auto its = truths.subspan(i * truth, truth);
      metrics.add(batch.items[i], row, its);  // which finishes the video before
      if (observe && batch.items[i] != video) first_view = clip_of(batch.frames, i);
      video = batch.items[i];
      if (tell) tell(batch.items[i], row, its);
    }
    if (proceed && !proceed()) break;
  }
  return metrics.result();
}

Evaluation evaluate(Classifier& classifier, Loader& clips, const std::function<bool()>& proceed) {
  return evaluate_views(classifier, clips, proceed).videos;
}

}  // namespace engine
