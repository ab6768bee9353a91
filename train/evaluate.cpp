#include "train/evaluate.h"

#include <algorithm>

#include "engine/autograd.h"

namespace engine {
namespace {

constexpr int64_t kWarmUpClips = 2;  // before a pass is recorded: plans are chosen then

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

Metrics evaluate(Classifier& classifier, Loader& clips, const std::function<bool()>& proceed) {
  const auto classes = static_cast<int64_t>(classifier.classes().size());
  Evaluator evaluator(classifier);
  Metrics metrics(classes);
  Batch batch;
  clips.start_epoch(0);
  while (clips.next(batch)) {
    const Tensor logits = evaluator(batch.frames);
    const std::span<const float> values = logits.values<float>();
    const std::span<const int64_t> labels = batch.labels.values<int64_t>();
    for (size_t i = 0; i < labels.size(); ++i)
      metrics.add(values.subspan(i * static_cast<size_t>(classes), static_cast<size_t>(classes)), labels[i]);
    if (proceed && !proceed()) break;
  }
  return metrics;
}

}  // namespace engine
