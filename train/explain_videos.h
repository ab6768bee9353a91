// engine_predict explain: pictures of where a network looks.
#pragma once

#include "train/predict.h"

namespace engine {

struct ExplainOptions {
  ModelChoice model;
  std::vector<std::string> paths;
  std::string output;  // the class, target or label to explain; empty: the most probable one, or the first target
  std::string method = "grad-cam";  // or "attention"
  std::string out = ".";            // folder
};

// Writes FOLDER/VIDEO-OUTPUT.png (train/heat_strip.h) for every video, and prints its path. What cannot be read is told
// on stderr; the others go on. Returns kOk or the code of the first error. Throws Error: kUsage for a class that the
// model does not know, and as grad_cam() and attention_map(); kStorage.
int explain_files(const ExplainOptions& options);

Subcommand declare_explain(CLI::App& program);

}  // namespace engine
