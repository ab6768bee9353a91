// engine_predict: applies a trained model to videos.
#include <CLI/CLI.hpp>

#include "engine/tensor.h"
#include "train/classify.h"
#include "train/cli.h"
#include "train/embed.h"
#include "train/evaluate_data.h"
#include "train/explain_videos.h"
#include "train/html_report.h"
#include "train/output.h"

namespace engine {
namespace {

constexpr const char* kExamples = R"(Examples:
  engine_predict classify best.safetensors new.mp4 folder           the class of every video, or its numbers or labels
  engine_predict classify best.safetensors long.mp4 --format srt    what happens when, as subtitles
  engine_predict eval best.safetensors videos                       how good the model is on labelled videos
  engine_predict explain best.safetensors new.mp4 --out heat        pictures of where it looks
  engine_predict embed best.safetensors videos -o vectors.npy       a vector for every video
  engine_predict report runs/videos-sora-cnn                        the page about a run, made anew)";

Subcommand declare_report(CLI::App& program) {
  CLI::App* command = program.add_subcommand("report", "Makes the page about a run anew: RUN/report.html");
  command->footer("Examples:\n  engine_predict report runs/videos-sora-cnn");
  const auto run = std::make_shared<std::string>();
  command->add_option("RUN", *run, "The folder of a run, as engine_train --out has it")->required();
  return {command, [run] { return print_out(write_report(*run) + "\n"), exit_code::kOk; }};
}

int body(int argc, char** argv) {
  CLI::App app("Applies a model that engine_train made.", "engine_predict");
  app.footer(kExamples);
  app.require_subcommand(1);
  const Subcommand commands[] = {declare_classify(app), declare_eval(app), declare_embed(app), declare_explain(app),
                                 declare_report(app)};
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  for (const Subcommand& each : commands)
    if (each.app->parsed()) return each.run();
  return exit_code::kOk;
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) { return engine::run_program("engine_predict", argc, argv, engine::body); }
