// Models by name.
#pragma once

#include "engine/random.h"
#include "layers/module.h"

namespace engine::layers {

// What every video model is made from. All of them take float clips (N, frames, height, width, channels) and give
// logits (N, classes).
struct ModelOptions {
  int64_t classes = 10;
  int64_t channels = 3;
  double dropout = 0.0;
  uint64_t seed = 0;  // of the starting weights
};

// Throws Error (usage) with the known names when there is no such model.
std::shared_ptr<Module> make_model(const std::string& name, const ModelOptions& options);
std::vector<std::string> model_names();

}  // namespace engine::layers
