// What a training run is continued from: one file with all that later steps depend on.
#pragma once

#include <string>
#include <vector>

#include "io/loader.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

namespace engine {

struct RunState {
  ModelFile model{};  // Trainer::file()
  TrainerState trainer{};
  FitState fit{};
  int64_t schedule_steps = 0;  // Schedule::total_steps
  std::string config{};        // all settings, as TOML
  std::string data{};          // fingerprint() of the clips
  std::string plans{};         // chosen_plans() (engine/plans.h); empty on the CPU
};

// A model file (train/checkpoint.h) with more in it: a model can be loaded from it, too. Metadata `training` (JSON),
// `config`, `data` and `plans`; tensors `first_moment.*`, `second_moment.*` and `average.*`. Equal content gives equal
// bytes, but for the seconds that the finished epochs took.
TensorFile to_tensor_file(const RunState& state);
// Throws Error (kCheckpoint) that begins with `where` for a model without a training, and for what is malformed.
RunState to_run_state(const TensorFile& file, const std::string& where);

// Changes when a clip, its label, its targets or its place in the order changes; not with the folder they lie in.
std::string fingerprint(const Splits& splits);

}  // namespace engine
