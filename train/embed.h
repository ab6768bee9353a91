// engine_predict embed: the vectors that a network makes of videos.
#pragma once

#include "train/predict.h"

namespace engine {

struct EmbedOptions {
  ModelChoice model;
  std::vector<std::string> paths;
  std::string out;  // .npy, .safetensors or .jsonl
};

// Writes what the head sees of every video (VideoModel::features() of clip_of()), f32, in the order of the videos:
//   .npy          (videos, features)
//   .safetensors  the same as tensor "features"; metadata "files" is a JSON array of names, "model" the model's
//   .jsonl        {"file": ..., "features": [...]} a line
// and prints the names of the videos, one a line, in that order. What cannot be read is told on stderr and left out;
// returns kOk or the code of the first error; nothing is written where none can be read. Throws Error: kUsage for
// another ending, kStorage.
int embed_files(const EmbedOptions& options);

// (1, features) f32 on the CPU.
Tensor embedding(Classifier& classifier, const Tensor& clip);

Subcommand declare_embed(CLI::App& program);

}  // namespace engine
