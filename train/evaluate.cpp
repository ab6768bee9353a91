#include "train/evaluate.h"

#include <algorithm>

#include "engine/autograd.h"
#include "engine/ops.h"

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

Evaluation evaluate(Classifier& classifier, Loader& clips, const std::function<bool()>& proceed) {
  Evaluator evaluator(classifier);
  const std::unique_ptr<Metrics> metrics = make_metrics(classifier.description());
  Batch batch;
  clips.start_epoch(0);
  while (clips.next(batch)) {
    const Tensor outputs = evaluator(batch.frames), targets = cast(batch.labels, DType::f64);
    const std::span<const float> values = outputs.values<float>();
    const std::span<const double> truths = targets.values<double>();
    const size_t count = batch.items.size(), columns = values.size() / count, truth = truths.size() / count;
    for (size_t i = 0; i < count; ++i)
      metrics->add(values.subspan(i * columns, columns), truths.subspan(i * truth, truth));
    if (proceed && !proceed()) break;
  }
  return metrics->result();
}

}  // namespace engine
