// Declarations that the subcommands of engine_predict share.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "train/predict.h"

namespace engine {

// An option whose value is one of some words. `choices` must outlive the command line.
template <class E>
void declare_choice(CLI::App& command, const char* flag, E& value,
                    const std::vector<std::pair<std::string, E>>& choices, const char* help) {
  std::vector<std::string> words;
  for (const auto& [word, meaning] : choices) words.push_back(word);
  const auto assign = [&value, &choices](const std::string& text) {
    value = std::ranges::find(choices, text, &std::pair<std::string, E>::first)->second;
  };
  command.add_option_function<std::string>(flag, assign, help)->type_name("NAME")->check(CLI::IsMember(words));
}

// MODEL, --device and --precision.
inline void declare_model(CLI::App& command, ModelChoice& choice, bool required = true) {
  command.add_option("MODEL", choice.path, "The model, a .safetensors file")->required(required);
  declare_choice(command, "--device", choice.device, kDeviceNames, "Where to compute (default auto)");
  declare_choice(command, "--precision", choice.precision, kPrecisionNames,
                 "What products are computed in; auto, the default: bf16 on CUDA, f32 on the CPU");
}

inline void declare_videos(CLI::App& command, std::vector<std::string>& paths) {
  command.add_option("PATH", paths, "Videos, folders of images, folders of these, or lists (.txt, .csv)")->required();
}

}  // namespace engine
