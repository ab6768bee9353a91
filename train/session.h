// A training run from options to a tested model: what engine_train does.
#pragma once

#include "train/options.h"

namespace engine {

// Opens the data, trains, writes the run folder (best.safetensors, last.safetensors, config.toml, metrics.csv; on CUDA
// plans.txt, what engine/plans.h chose) and tests the best model where the data have a test part. Results go to stdout,
// talk to stderr. Returns an exit code: kOk, or that of the signal that ended the run after saving. `table` is the one
// that `options` were declared in; what was left to "auto" is filled in. Throws Error.
int train(TrainOptions& options, const OptionTable& table);

// Fills in what was left to "auto", by the data where options.data names some. Throws Error.
void resolve_settings(TrainOptions& options);

}  // namespace engine
