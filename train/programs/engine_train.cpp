// engine_train: learns a model from a folder of videos.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>

#include "train/cli.h"
#include "train/doctor.h"
#include "train/output.h"
#include "train/resume.h"
#include "train/session.h"

namespace engine {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  engine_train videos                              a folder per class; everything else by default\n"
    "  engine_train list.txt --model sora-cnn           lines with a path and a label\n"
    "  engine_train list.txt --head regression          lines with a path and a number\n"
    "  engine_train videos -c train.toml --lr 0.01      a file of settings; flags win\n"
    "  engine_train --resume runs/videos-sora-cnn       go on with a run that was stopped\n"
    "  engine_train config                              print all settings as such a file\n"
    "  engine_train doctor                              print what the machine offers and test it\n"
    "(A folder that is called config or doctor is given as ./config or ./doctor.)";

// What most runs set; --help-all shows the rest.
const std::vector<std::string> kUsual = {"DATA",       "test",          "frames", "size",      "flip",    "model",
                                         "model-size", "head",          "lr",     "init-from", "batch",   "epochs",
                                         "out",        "resume",        "device", "seed",      "workers", "json",
                                         "dry-run",    "overfit-batch", "profile"};

struct ConfigCommand {
  bool defaults = false, resolved = false;
  std::string check;
};

CLI::App& add_config(CLI::App& app, ConfigCommand& config) {
  CLI::App* command =
      app.add_subcommand("config", "Print all settings, flags and files applied, as a file of settings");
  command->fallthrough();
  command->add_flag("--defaults", config.defaults, "... without flags and files");
  command->add_flag("--resolved", config.resolved, "... with what auto stands for, with the DATA given");
  command->add_option("--check", config.check, "Say whether this file of settings can be used, and why not")
      ->type_name("FILE")
      ->expected(1);
  return *command;
}

int print_config(const ConfigCommand& config, TrainOptions& options, OptionTable& table) {
  if (!config.check.empty()) {
    table.read_file(config.check);
    print_out(config.check + ": can be used\n");
    return exit_code::kOk;
  }
  if (config.resolved) resolve_settings(options);
  options.data.clear();
  print_out(table.to_toml());
  return exit_code::kOk;
}

int body(int argc, char** argv) {
  TrainOptions options;
  OptionTable table;
  declare(table, options);
  CLI::App app("Learns classes, numbers or labels of videos.", "engine_train");
  app.footer(kExamples);
  const bool all = std::find(argv, argv + argc, std::string_view("--help-all")) != argv + argc;
  table.bind(app, all ? std::vector<std::string>{} : kUsual);
  app.set_help_flag("-h,--help,--help-all", "Print the usual flags, or all of them, and exit");
  std::vector<std::string> files;
  app.add_option("-c,--config", files, "Settings in TOML; may be given more than once")
      ->type_name("FILE")
      ->group("Run")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  ConfigCommand config;
  const CLI::App& config_command = add_config(app, config);
  CLI::App* doctor = app.add_subcommand("doctor", "Print what the machine offers, and compute what is known as a test");
  doctor->fallthrough();
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  if (config.defaults) return print_config(config, options, table);
  table.apply_flags();
  if (!options.resume.empty()) table.read_text(settings_of_run(options.resume), "settings of " + options.resume);
  for (const std::string& file : files) table.read_file(file);
  table.apply_flags();
  if (config_command.parsed()) return print_config(config, options, table);
  if (doctor->parsed()) return run_doctor(options);
  return train(options, table);
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) { return engine::run_program("engine_train", argc, argv, engine::body); }
