// The first check of a network and its data: can it learn one batch by heart?
#pragma once

#include "train/options.h"
#include "train/trainer.h"

namespace engine {

inline constexpr double kLearntLoss = 0.05;    // a batch is learnt when its loss is at most this
inline constexpr int64_t kOverfitSteps = 300;  // where there is no limit of steps

struct OverfitResult {
  double first_loss = 0, loss = 0;  // before the first step and before the last
  int64_t steps = 0;
  bool learnt() const { return loss <= kLearntLoss; }
};

// Trains on this batch until it is learnt, for `most_steps` at most. `proceed`, where given, is asked after every step.
OverfitResult overfit(Trainer& trainer, const Batch& batch, int64_t most_steps,
                      const std::function<bool(const OverfitResult&)>& proceed = {});

// What engine_train --overfit-batch does: the first batch of an epoch without augmentation, at a constant learning
// rate, with nothing that keeps the loss from 0 (no smoothing, weights, decay, mixtures; make the network without
// dropout). Saves nothing; the verdict goes to stdout, as one JSON object with options.json. Returns an exit code.
int overfit_batch(const TrainOptions& options, const Dataset& dataset, LoaderOptions loader, Classifier& classifier);

}  // namespace engine
