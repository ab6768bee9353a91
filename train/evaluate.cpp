#include "train/evaluate.h"

#include <algorithm>

#include "engine/autograd.h"

namespace engine {

Tensor evaluate_clips(Classifier& classifier, const Tensor& frames) {
  const NoGrad no_grad;
  const bool was_training = classifier.network().training();
  classifier.network().eval();
  const auto classes = static_cast<int64_t>(classifier.classes().size());
  const Tensor logits = Tensor::empty({frames.size(0), classes}), here = frames.to(classifier.device());
  for (int64_t n = 0; n < frames.size(0); ++n)
    logits.slice(n, n + 1).copy_from(classifier.logits(here.slice(n, n + 1)));
  classifier.network().train(was_training);
  return logits;
}

Metrics evaluate(Classifier& classifier, Loader& clips, const std::function<bool()>& proceed) {
  const auto classes = static_cast<int64_t>(classifier.classes().size());
  Metrics metrics(classes);
  Batch batch;
  clips.start_epoch(0);
  while (clips.next(batch)) {
    const Tensor logits = evaluate_clips(classifier, batch.frames);
    const std::span<const float> values = logits.values<float>();
    const std::span<const int64_t> labels = batch.labels.values<int64_t>();
    for (size_t i = 0; i < labels.size(); ++i)
      metrics.add(values.subspan(i * static_cast<size_t>(classes), static_cast<size_t>(classes)), labels[i]);
    if (proceed && !proceed()) break;
  }
  return metrics;
}

}  // namespace engine
