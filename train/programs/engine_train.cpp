// engine_train: learns a model from a folder of videos.
#include <CLI/CLI.hpp>

#include "train/cli.h"
#include "train/doctor.h"
#include "train/output.h"
#include "train/session.h"

namespace engine {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  engine_train videos                              a folder per class; everything else by default\n"
    "  engine_train list.txt --model sora-cnn           lines with a path and a label\n"
    "  engine_train list.txt --head regression          lines with a path and a number\n"
    "  engine_train videos -c train.toml --lr 0.01      a file of settings; flags win\n"
    "  engine_train config                              print all settings as such a file\n"
    "  engine_train doctor                              print what the machine offers\n"
    "(A folder that is called config or doctor is given as ./config or ./doctor.)";

int body(int argc, char** argv) {
  TrainOptions options;
  OptionTable table;
  declare(table, options);
  CLI::App app("Learns classes, numbers or labels of videos.", "engine_train");
  app.footer(kExamples);
  table.bind(app);
  std::vector<std::string> files;
  app.add_option("-c,--config", files, "Settings in TOML; may be given more than once")
      ->type_name("FILE")
      ->group("Run")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  for (const std::string& file : files) table.read_file(file);
  table.apply_flags();

  if (options.data == "doctor") {
    print_out(doctor_report(options));
    return exit_code::kOk;
  }
  if (options.data == "config") {
    options.data.clear();
    print_out(table.to_toml());
    return exit_code::kOk;
  }
  return train(options, table);
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) { return engine::run_program("engine_train", argc, argv, engine::body); }
