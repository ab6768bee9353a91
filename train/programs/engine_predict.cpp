// engine_predict: applies a trained model to videos.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "train/cli.h"
#include "train/predict.h"

namespace engine {
namespace {

// An option whose value is one of some words.
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

// As engine_train has them.
template <class Options>
void declare_place(CLI::App& command, Options& options) {
  declare_choice(command, "--device", options.device, kDeviceNames, "Where to compute (default auto)");
  declare_choice(command, "--precision", options.precision, kPrecisionNames,
                 "What products are computed in; auto, the default: bf16 on CUDA, f32 on the CPU");
}

int body(int argc, char** argv) {
  CLI::App app("Applies a model that engine_train made.", "engine_predict");
  app.footer(
      "Examples:\n"
      "  engine_predict classify best.safetensors new.mp4 folder   the class of every video, or its numbers or labels\n"
      "  engine_predict eval best.safetensors videos               how good the model is on labelled videos");
  app.require_subcommand(1);

  ClassifyOptions classify;
  CLI::App* classify_command = app.add_subcommand(
      "classify", "Tells the class of videos, or their numbers or labels, as the model's head has them");
  classify_command->footer(
      "Examples:\n  engine_predict classify best.safetensors new.mp4 --top 3\n"
      "  engine_predict classify best.safetensors long.mp4 --window 8      over and over, with times");
  classify_command->add_option("MODEL", classify.model, "The model, a .safetensors file")->required();
  classify_command
      ->add_option("PATH", classify.paths, "Videos, folders of images, folders of these, or lists (.txt, .csv)")
      ->required();
  classify_command->add_option("--top", classify.top, "How many classes to tell of each video (default 1)")
      ->type_name("K")
      ->check(CLI::Range(int64_t{1}, int64_t{1000000}));
  classify_command
      ->add_option("--window", classify.window,
                   "Tell of every window of as many frames as a clip has, N frames of the clip after the one before")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1000000}));
  classify_command->add_flag("--json", classify.json, "One JSON object a line");
  declare_place(*classify_command, classify);

  EvaluateOptions evaluate;
  CLI::App* evaluate_command = app.add_subcommand("eval", "Judges a model on labelled videos");
  evaluate_command->footer(
      "Examples:\n  engine_predict eval best.safetensors videos --split val\n"
      "  engine_predict eval best.safetensors videos --clips 10 --crops 3");
  evaluate_command->add_option("MODEL", evaluate.model, "The model, a .safetensors file")->required();
  evaluate_command->add_option("DATA", evaluate.data, "Labelled videos, as for engine_train")->required();
  evaluate_command
      ->add_option("--split", evaluate.split, "train, val or test (default test; val where there is no test part)")
      ->check(CLI::IsMember({"train", "val", "test"}));
  evaluate_command
      ->add_option("--val-fraction", evaluate.val_fraction,
                   "As given to engine_train, where it split the validation part off (default 0.2)")
      ->type_name("X")
      ->check(CLI::Range(0.0, 0.9));
  evaluate_command->add_option("--split-number", evaluate.split_number, "As given to engine_train (default: the first)")
      ->type_name("N")
      ->check(CLI::Range(0, 99));
  evaluate_command->add_option("--workers", evaluate.workers, "Threads that read videos (default 1)")
      ->type_name("N")
      ->check(CLI::Range(int64_t{0}, int64_t{kMaxWorkers}));
  evaluate_command
      ->add_option("--clips", evaluate.clips,
                   "Look at so many clips of each video and average what they say (default 1)")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}));
  declare_choice(*evaluate_command, "--crops", evaluate.crops, kCropNames,
                 "... and at so many places of each: 1, the centre; 3, the ends too; 10, corners and centre, also "
                 "mirrored (default 1)");
  evaluate_command->add_flag("--json", evaluate.json, "One JSON object");
  declare_place(*evaluate_command, evaluate);

  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  return *classify_command ? classify_files(classify) : evaluate_data(evaluate);
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) { return engine::run_program("engine_predict", argc, argv, engine::body); }
