// The engine's side of the comparison: times the workloads of a file and prints one JSON object a line, as
// pytorch_compare.py does for PyTorch; or, with --turns, times a window whenever it is told to, so that compare.py can
// let both sides work in turn.
#include <CLI/CLI.hpp>
#include <ctime>
#include <fstream>
#include <iostream>
#include <regex>

#include "bench/compare/passes.h"
#include "engine/plans.h"
#include "train/cli.h"

namespace engine::bench {
namespace {

// Times each pass by itself.
void print_time(const json& w, const Settings& settings, const Pass& pass) {
  const Timing t = time_calls(settings.device, pass.work, pass.calls, settings.seconds);
  json line = {{"workload", w.at("name")},
               {"pass", pass.name},
               {"precision", settings.precision},
               {"implementation", tune_plans ? "engine tuned" : "engine"},
               {"ms", t.median},
               {"ms_p10", t.p10},
               {"ms_p90", t.p90},
               {"windows", t.windows}};
  if (pass.bytes > 0) line["gb_per_s"] = pass.bytes / t.median / 1e6;
  if (pass.flop > 0) line["tflop_per_s"] = pass.flop / t.median / 1e9;
  std::cout << line.dump() << std::endl;
}

// For every line of stdin, the name of a pass: its time in a window.
void take_turns(const Settings& settings, const std::vector<Pass>& passes) {
  std::map<std::string, std::pair<const Pass*, int64_t>> known;  // with repeats per window
  json names;
  for (const Pass& pass : passes) {
    known[pass.name] = {&pass, repeats_of(settings.device, pass.work)};
    names.push_back(pass.name);
  }
  std::cout << json{{"passes", names}} << std::endl;
  for (std::string name; std::getline(std::cin, name);) {
    const auto& [pass, repeats] = known.at(name);
    // The other side's turn has emptied the caches, its threads may still spin, and ours may sleep on one core.
    window_of(settings.device, pass->work, repeats);
    const std::clock_t start = std::clock();
    const double ms = window_of(settings.device, pass->work, repeats);
    const double cpu_ms = 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    const double calls = static_cast<double>(repeats) * pass->calls;
    std::cout << json{{"pass", name}, {"ms", ms / calls}, {"cpu_ms", cpu_ms / calls}} << std::endl;
  }
}

int body(int argc, char** argv) {
  CLI::App app("Times the workloads of a file; one JSON object a line.", "engine_compare");
  std::string file, device = "auto", only = ".*";
  std::vector<std::string> precisions = {"f32", "tf32", "bf16"};
  Settings settings;
  app.add_option("WORKLOADS", file, "bench/compare/workloads.json")->required();
  app.add_option("--device", device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--only", only, "Workloads whose name matches this regular expression");
  app.add_option("--precision", precisions, "f32, tf32, bf16")->delimiter(',');
  app.add_option("--seconds", settings.seconds, "Of measuring, for each")->check(CLI::Range(0.0, 600.0));
  bool eager = false;
  app.add_flag("--eager", eager, "Launch every kernel by itself instead of replaying a recording, for profilers");
  bool tune = false, turns = false;
  app.add_flag("--tune", tune, "Choose plans by timing them, and print what was timed");
  app.add_flag("--turns", turns, "Time a window of the pass that each line of stdin names, for compare.py");
  app.add_option("--state", settings.state, "Before a step: write weights and clips there, print the first losses");
  int threads = 0;
  app.add_option("--threads", threads, "Of the CPU")->check(CLI::Range(1, 1024));
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  if (threads > 0) set_cpu_threads(threads);
  tune_plans = tune;
  on_timed_plan = [](const std::string& problem, const std::string& plan, double ms) {
    std::cout << json{{"problem", problem}, {"plan", plan}, {"ms", ms}} << std::endl;
  };
  settings.device = device == "cpu" || (device == "auto" && !cuda_available()) ? kCpu : Device{DeviceType::cuda, 0};
  settings.record = !eager;
  std::ifstream text(file);
  if (!text) throw Error(concat(file, ": cannot be opened"), exit_code::kNoInput);
  const json workloads = json::parse(text);
  settings.cache_bytes = workloads.value("cache_bytes", settings.cache_bytes);
  const std::regex wanted(only);
  for (const std::string& precision : precisions) {
    if (settings.device == kCpu && precision != "f32") continue;  // the CPU computes in f32
    settings.precision = precision;
    set_f32_products(precision == "tf32" ? F32Products::tf32 : F32Products::strict);
    for (const char* part : {"ops", "steps"}) {
      for (const json& w : workloads.at(part)) {
        const std::string name = w.at("name");
        if (!std::regex_search(name, wanted)) continue;
        try {
          std::vector<Pass> passes;  // for turns; otherwise one at a time, as they take memory
          visit_workload(w, part == std::string("steps"), settings, [&](const Pass& pass) {
            if (turns)
              passes.push_back(pass);
            else
              print_time(w, settings, pass);
          });
          if (turns) return take_turns(settings, passes), exit_code::kOk;
        } catch (const std::exception& error) {  // the others still count
          std::cout << json{{"workload", name},
                            {"precision", precision},
                            {"implementation", "engine"},
                            {"error", error.what()}}
                    << std::endl;
        }
      }
    }
  }
  return exit_code::kOk;
}

}  // namespace
}  // namespace engine::bench

int main(int argc, char** argv) { return engine::run_program("engine_compare", argc, argv, engine::bench::body); }
