// A network judged on labelled clips.
#pragma once

#include <functional>

#include "io/loader.h"
#include "train/classifier.h"
#include "train/metrics.h"

namespace engine {

// Logits of every clip of `frames` (N, frames_to_read, H, W, 3), u8, as f32 (N, classes) on the CPU. The network goes
// into evaluation mode and back. Each clip goes through the network by itself: a library may choose another order of
// summation for another batch size, and a clip's result must not depend on its company.
Tensor evaluate_clips(Classifier& classifier, const Tensor& frames);

// Over all clips that the loader gives: one made with evaluation_loader() (train/data_options.h) leaves out those that
// cannot be decoded. `proceed` is asked after each batch; false ends the evaluation early.
Metrics evaluate(Classifier& classifier, Loader& clips, const std::function<bool()>& proceed = {});

}  // namespace engine
