// The benchmark suite. See bench/README.md.
#include <benchmark/benchmark.h>
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "bench/suite/compare_runs.h"
#include "bench/suite/suite.h"
#include "io/scratch_folder.h"
#include "train/cli.h"
#include "train/environment.h"

namespace engine::bench {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct Options {
  bool quick = false, list = false;
  std::string filter = ".", device = "auto", precision = "f32", shapes, out, baseline, against;
  int repetitions = 5, threads = 0, rounds = 5;
  double seconds = 0.2;
};

json read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(concat(path, ": cannot be opened"), exit_code::kNoInput);
  try {
    return json::parse(file);
  } catch (const json::exception& error) {
    throw Error(concat(path, ": no JSON: ", error.what()), exit_code::kData);
  }
}

// Google Benchmark's own flags for these options.
std::vector<std::string> flags_of(const Options& options, const std::string& out) {
  std::vector<std::string> flags = {"engine_bench", "--benchmark_filter=" + options.filter,
                                    "--benchmark_counters_tabular=true"};
  if (options.list) flags.emplace_back("--benchmark_list_tests=true");
  if (!options.quick) {
    flags.push_back(concat("--benchmark_repetitions=", options.repetitions));
    flags.push_back(concat("--benchmark_min_time=", options.seconds));
    flags.emplace_back("--benchmark_display_aggregates_only=true");
  }
  if (!out.empty()) {
    flags.push_back("--benchmark_out=" + out);
    flags.emplace_back("--benchmark_out_format=json");
  }
  return flags;
}

// Prints results, and counts those that failed.
class Reporter final : public benchmark::ConsoleReporter {
 public:
  Reporter() : ConsoleReporter(OO_Tabular) {}
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) failed += run.error_occurred ? 1 : 0;
    ConsoleReporter::ReportRuns(runs);
  }
  int failed = 0;
};

int run_here(const Options& options, const std::string& out) {
  static Suite suite;
  if (options.threads > 0) set_cpu_threads(options.threads);
  suite.quick = options.quick;
  suite.device =
      options.device == "cpu" || (options.device == "auto" && !cuda_available()) ? kCpu : Device{DeviceType::cuda, 0};
  suite.dtype = options.precision == "bf16" ? DType::bf16 : DType::f32;
  if (options.precision == "tf32") set_f32_products(F32Products::tf32);
  std::string shapes = options.shapes;
  if (shapes.empty())
    shapes = concat(ENGINE_SOURCE_DIR,
                    suite.device == kCpu ? "/bench/compare/workloads_cpu.json" : "/bench/compare/workloads.json");
  suite.shapes = read_json(shapes);
  suite.ceilings = measure_ceilings(suite.device, suite.dtype, suite.quick);
  add_ops(suite);
  add_layers(suite);
  add_models(suite);
  add_files(suite);
  benchmark::AddCustomContext("copy_bytes_per_second", concat(suite.ceilings.bytes_per_second));
  benchmark::AddCustomContext("product_flop_per_second", concat(suite.ceilings.flop_per_second));
  benchmark::AddCustomContext("environment", environment_json(concat(suite.device), cpu_threads()));
  std::vector<std::string> flags = flags_of(options, out);
  std::vector<char*> argv;
  for (std::string& flag : flags) argv.push_back(flag.data());
  int argc = static_cast<int>(argv.size());
  benchmark::Initialize(&argc, argv.data());
  Reporter reporter;
  const size_t ran = benchmark::RunSpecifiedBenchmarks(&reporter);
  if (ran == 0 && !options.list)
    throw Error(concat("no benchmark has a name that matches '", options.filter, "'; --list names them"),
                exit_code::kUsage);
  if (reporter.failed > 0) throw Error(concat(reporter.failed, " benchmarks failed, see above"), exit_code::kInternal);
  return exit_code::kOk;
}

// This program and another build of it in turn, in processes of their own; then what moved.
int run_in_turn(const Options& options) {
  const ScratchFolder folder;
  const std::string self = fs::read_symlink("/proc/self/exe");
  std::vector<json> before, after;
  for (int round = 0; round < options.rounds; ++round)
    for (const std::string& program : {options.against, self}) {
      const std::string file = folder / "run.json";
      std::string command =
          concat("'", program, "' --filter '", options.filter, "' --device ", options.device, " --precision ",
                 options.precision, " --repetitions 1 --seconds ", options.seconds, " --out '", file, "'");
      if (options.threads > 0) command += concat(" --threads ", options.threads);
      const int status = std::system((command + " >/dev/null 2>&1").c_str());
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw Error(concat("failed: ", command));
      (program == self ? after : before).push_back(read_json(file));
    }
  std::cout << compare_runs(joined_runs(before), joined_runs(after));
  return exit_code::kOk;
}

int body(int argc, char** argv) {
  CLI::App app("Times what the engine does, beside what the machine can do at most.", "engine_bench");
  app.footer(
      "Examples:\n"
      "  engine_bench --filter '^op/|^model/'          ops at the sizes of the comparison, and the networks\n"
      "  engine_bench --out before.json                all of it, kept\n"
      "  engine_bench --baseline before.json           all of it, and what moved since\n"
      "  engine_bench --against OLD/engine_bench       the same with an older build, in turn, which is more telling\n"
      "  engine_bench --quick                          everything once, to see that it runs");
  Options options;
  app.add_flag("--quick", options.quick, "Everything once; the times mean nothing");
  app.add_flag("--list", options.list, "Print the names");
  app.add_option("--filter", options.filter, "Benchmarks whose name matches this regular expression");
  app.add_option("--device", options.device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--precision", options.precision, "f32, tf32 or bf16")->check(CLI::IsMember({"f32", "tf32", "bf16"}));
  app.add_option("--shapes", options.shapes,
                 "Sizes of the ops (default: bench/compare/workloads_cpu.json or workloads.json)");
  app.add_option("--repetitions", options.repetitions, "Of each, whose median and deviation are told")
      ->check(CLI::Range(1, 1000));
  app.add_option("--seconds", options.seconds, "Of a repetition, at least")->check(CLI::Range(0.0, 600.0));
  app.add_option("--threads", options.threads, "Of the CPU")->check(CLI::Range(1, 1024));
  app.add_option("--out", options.out, "Keep the results in this file (JSON of Google Benchmark)");
  CLI::Option* baseline = app.add_option("--baseline", options.baseline, "Compare with what an earlier --out kept");
  app.add_option("--against", options.against, "Run this build of engine_bench and this one in turn, and compare")
      ->excludes(baseline);
  app.add_option("--rounds", options.rounds, "Of --against")->check(CLI::Range(3, 1000));
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  if (!options.against.empty()) return run_in_turn(options);
  if (options.baseline.empty()) return run_here(options, options.out);
  const json before = read_json(options.baseline);
  const ScratchFolder folder;
  const std::string out = options.out.empty() ? folder / "run.json" : options.out;
  const int code = run_here(options, out);
  std::cout << '\n' << compare_runs(before, read_json(out));
  return code;
}

}  // namespace
}  // namespace engine::bench

int main(int argc, char** argv) { return engine::run_program("engine_bench", argc, argv, engine::bench::body); }
