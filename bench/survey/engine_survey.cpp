// Answers, on a GPU, what the choice between NVIDIA's ways of doing one thing depends on. One JSON object a line.
#include <CLI/CLI.hpp>
#include <iostream>

#include "bench/survey/survey.h"
#include "kernels/cuda/execute_plan.h"
#include "train/cli.h"

namespace engine::bench {
namespace {

int body(int argc, char** argv) {
  CLI::App app("Times the ways in which NVIDIA's libraries do one thing; one JSON object a line.", "engine_survey");
  app.require_subcommand(1);
  CLI::App* const describe = app.add_subcommand("describe", "Prints the device as cuDNN describes it");
  CLI::App* const lstm = app.add_subcommand("lstm", "cuDNN's RNN algorithms beside ours");
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  if (!cuda_available()) {
    std::cerr << "skipped: " << cuda_unavailable_reason() << '\n';
    return exit_code::kOk;
  }
  CudaContext& ctx = cuda_context(0);
  if (*describe) std::cout << describe_device(ctx).json << '\n';
  if (*lstm) survey_lstm(ctx);
  return exit_code::kOk;
}

}  // namespace
}  // namespace engine::bench

int main(int argc, char** argv) { return engine::run_program("engine_survey", argc, argv, engine::bench::body); }
