// The settings of docs/training.md, as engine_train takes them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "program_run.h"
#include "train/checkpoints.h"
#include "train/data_options.h"

using namespace engine;
using program_run::Outcome;
using program_run::read_text;
using program_run::run;
using program_run::TemporaryFolder;

namespace fs = std::filesystem;

namespace {

// Ten classes of small videos, two clips each to train on.
const std::string& videos() {
  static const TemporaryFolder folder;
  static const std::string made = [] {
    program_run::make_videos(folder / "videos", 2, 1);
    return folder / "videos";
  }();
  return made;
}

std::vector<std::string> training(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {videos(),     "--batch", "4",         "--size", "16",        "--frames", "2",
                                        "--progress", "none",    "--threads", "1",      "--workers", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// The newest checkpoint in a run's folder without its settings and times, and its models.
std::string left_by(const std::string& folder) {
  std::string report;
  const auto found = newest_checkpoint(folder, report);
  REQUIRE(found);
  RunState state = found->state;
  for (EpochReport& epoch : state.fit.epochs) epoch.seconds = epoch.clips_per_second = 0;
  state.config.clear();
  return encode_safetensors(to_tensor_file(state)) + read_text(folder + "/best.safetensors") +
         read_text(folder + "/last.safetensors");
}

}  // namespace

TEST_CASE("engine_train: with every feature on, a run that is stopped and goes on ends in the same bytes") {
  const TemporaryFolder folder;
  const std::vector<std::string> features = {"--epochs",
                                             "3",
                                             "--accumulate",
                                             "2",
                                             "--ema",
                                             "0.9",
                                             "--mixup",
                                             "0.4",
                                             "--cutmix",
                                             "1",
                                             "--balance",
                                             "--flip",
                                             "--dropout",
                                             "0.2",
                                             "--label-smoothing",
                                             "0.1",
                                             "--schedule",
                                             "plateau",
                                             "--plateau-patience",
                                             "0",
                                             "--schedule-epochs",
                                             "3",
                                             "--patience",
                                             "3",
                                             "--val-fraction",
                                             "0.5"};
  const auto train = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = features;
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.insert(arguments.end(), {"--out", folder / out});
    const Outcome outcome = run(folder, "engine_train", training(arguments));
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == exit_code::kOk);
    return outcome.err;
  };
  const std::string told = train("whole", {});
  CHECK(has(told, "\nmemory  weights "));
  CHECK(has(told, " that are free\n"));
  train("parts", {"--max-steps", "2"});
  const Outcome resumed = run(folder, "engine_train", {"--resume", folder / "parts", "--max-steps", "0"});
  CAPTURE(resumed.err);
  REQUIRE(resumed.code == exit_code::kOk);
  CHECK(has(resumed.err, "resumed from "));
  CHECK(left_by(folder / "parts") == left_by(folder / "whole"));
  const Outcome other = run(folder, "engine_train", {"--resume", folder / "parts", "--ema", "0.8"});
  CHECK(other.code == exit_code::kUsage);
  CHECK(has(other.err, "--ema is 0.8, but the run was trained with 0.9 so far"));
}

TEST_CASE("engine_train: out of memory names the largest tensors and a batch that fits") {
#ifdef __SANITIZE_ADDRESS__
  MESSAGE("skipped: the sanitizer takes more addresses than a limit leaves");
  return;
#endif
  const TemporaryFolder folder;
  program_run::make_videos(folder / "videos", 8, 1, 128);
  const std::string err = folder / "err";
  const std::string command = concat(
      "bash -c 'ulimit -v 2500000; ", program_run::kWithoutCuda, engine::test::program_folder(), "/engine_train ",
      folder / "videos", " --model sora-cnn --frames 4 --size 128 --batch 64 --epochs 1 --progress none --out ",
      folder / "run", "' >/dev/null 2>", err);
  const int status = std::system(command.c_str());
  const std::string told = program_run::read_text(err);
  CAPTURE(told);
  CHECK(WEXITSTATUS(status) == exit_code::kMemory);
  CHECK(has(told, "warning: that is more than there is; try --batch "));  // the limit counts as what there is
  CHECK(has(told, "engine_train: error: out of memory"));
  CHECK(has(told, "; the largest tensors, of each clip: max_pool2d's input (4,128,128,64) 16.0 MiB, "));
  CHECK(has(told, "; try --batch "));
}

TEST_CASE("engine_train: --max-time saves and ends with 0, --patience ends early") {
  const TemporaryFolder folder;
  const Outcome timed =
      run(folder, "engine_train", training({"--epochs", "1000000", "--max-time", "0.7s", "--out", folder / "timed"}));
  CAPTURE(timed.err);
  CHECK(timed.code == exit_code::kOk);
  CHECK(has(timed.err, "stopped by --max-time at step "));
  CHECK(has(timed.err, "go on with: engine_train --resume " + (folder / "timed")));
  CHECK(checkpoints_in(folder / "timed").size() >= 1);
  const Outcome patient = run(folder, "engine_train",
                              training({"--epochs", "50", "--patience", "2", "--lr", "1e-20", "--out", folder / "p"}));
  CHECK(patient.code == exit_code::kOk);
  CHECK(has(patient.err, "stopped early: 2 epochs in a row were not better than epoch 1\n"));
  CHECK(has(patient.out, "Epoch 3"));
  CHECK(!has(patient.out, "Epoch 4"));
}

TEST_CASE("engine_train: --on-nan, and what is told with the error") {
  const TemporaryFolder folder;
  const std::vector<std::string> wild = {"--epochs",    "60",       "--optimizer", "sgd",        "--lr",
                                         "100",         "--warmup", "0",           "--momentum", "1",
                                         "--clip-norm", "0",        "--schedule",  "constant",   "--checkpoint-steps",
                                         "1",           "--on-nan", "stop",        "--out",      folder / "run"};
  const Outcome outcome = run(folder, "engine_train", training(wild));
  CAPTURE(outcome.err);
  CHECK(outcome.code == exit_code::kNotFinite);
  CHECK(has(outcome.err, "the gradients of this step are not finite, "));
  CHECK(has(outcome.err, "the last good checkpoint is " + (folder / "run")));
  CHECK(has(outcome.err, "/ckpt-"));
}

TEST_CASE("engine_train: --overfit-batch tells whether a batch is learnt, and writes nothing") {
  const TemporaryFolder folder;
  const std::string out = folder / "none";
  const Outcome good =
      run(folder, "engine_train",
          training({"--overfit-batch", "--lr", "0.003", "--dropout", "0.5", "--mixup", "1", "--out", out}));
  CAPTURE(good.err);
  CHECK(good.code == exit_code::kOk);
  CHECK(has(good.out, "overfit: loss "));
  CHECK(has(good.out, "the network learns 4 clips by heart\n"));
  const Outcome bad = run(folder, "engine_train",
                          training({"--overfit-batch", "--lr", "1e-9", "--max-steps", "7", "--json", "--out", out}));
  CHECK(bad.code == exit_code::kOk);
  const auto line = nlohmann::json::parse(bad.out);
  CHECK(line["kind"] == "overfit");
  CHECK(line["steps"] == 7);
  CHECK(line["learnt"] == false);
  CHECK(!fs::exists(out));
}

TEST_CASE("engine_train: --profile tells where the time of steps goes, and shows it in the report") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const Outcome told = run(folder, "engine_train", training({"--profile", "3", "--out", out}));
  CAPTURE(told.err);
  REQUIRE(told.code == exit_code::kOk);
  CHECK(told.out.starts_with("profile of 3 steps on cpu: "));
  for (const char* const part :
       {"\nconv2 ", "\nhead ", "adam_update", "\nwaiting for clips ", "\nbetween ops, ", "\nworth fixing first\n1. "})
    CHECK(has(told.out, part));
  CHECK(has(told.err, "trace.json, for ui.perfetto.dev\n"));
  const auto trace = nlohmann::json::parse(read_text(out + "/trace.json"));
  CHECK(std::ranges::count_if(trace["traceEvents"], [](const auto& event) { return event["name"] == "step 3"; }) == 1);
  const std::string report = read_text(out + "/report.html");
  CHECK(has(report, "<h2>Where the time goes</h2>"));
  CHECK(has(report, "<td>adam_update</td>"));
  CHECK(!fs::exists(out + "/best.safetensors"));
  CHECK(fs::exists(out + "/config.toml"));

  const Outcome json = run(folder, "engine_train", training({"--profile", "2", "--json", "--out", folder / "json"}));
  REQUIRE(json.code == exit_code::kOk);
  const auto line = nlohmann::json::parse(json.out);
  CHECK(line["steps"] == 2);
  double seconds = line["waiting_seconds"].get<double>() + line["between_seconds"].get<double>();
  for (const auto& row : line["rows"])
    seconds += row["forward_seconds"].get<double>() + row["backward_seconds"].get<double>();
  CHECK(seconds == doctest::Approx(line["step_seconds"].get<double>()));
}

TEST_CASE("engine_train: settings that contradict each other are refused") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::vector<std::string>& flags, const std::string& message) {
    std::vector<std::string> arguments = training(flags);
    arguments.insert(arguments.end(), {"--out", folder / "run"});
    const Outcome outcome = run(folder, "engine_train", arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.code == exit_code::kUsage);
    CHECK(has(outcome.err, message));
    CHECK(std::ranges::count(outcome.err, '\n') == 1);
    CHECK(!fs::exists(folder / "run"));
  };
  refused({"--schedule", "multistep"}, "--schedule multistep and --milestones belong together");
  refused({"--milestones", "3,5"}, "--schedule multistep and --milestones belong together");
  refused({"--milestones", "5,3"}, "--milestones must be rising whole numbers with commas, such as 30,60, not '5,3'");
  refused({"--max-time", "2 hours"}, "--max-time must be 0, or a number with s, m, h or d, such as 90m, not '2 hours'");
  refused({"--balance", "--class-weights", "auto"}, "make up for the same twice");
  refused({"--mixup", "0.2", "--class-weights", "auto"}, "no meaning for mixed clips");
  refused({"--profile", "2", "--overfit-batch"},
          "--profile makes a run of its own; leave out --resume and --overfit-batch");
  refused({"--drop-path", "0.1"}, "model 'sora-cnn' has no residual branches to drop");
}

TEST_CASE("recipe: lists of epochs, times and weights of mirrored classes") {
  Recipe recipe;
  OptionTable table;
  declare(table, recipe);
  const auto set = [&](const std::string& flag, const std::string& text) {
    for (const Option& option : table.options())
      if (option.flag == flag) return option.set(text) ? option.get() : "refused";
    return std::string("no such flag");
  };
  CHECK(set("milestones", "3,30,31") == "3,30,31");
  CHECK(recipe.milestones == std::vector<int64_t>{3, 30, 31});
  for (const char* bad : {"0", "3,3", "3,", ",3", "3 4", "x", "3;4"}) CHECK(set("milestones", bad) == "refused");
  CHECK(set("milestones", "").empty());
  CHECK(set("max-time", "1.5h") == "5400s");
  CHECK(set("max-time", "5400s") == "5400s");
  CHECK(set("max-time", "2d") == "172800s");
  CHECK(set("max-time", "0") == "0");
  for (const char* bad : {"", "h", "5", "-1s", "0s", "1w", "1hm", "nans", "infs"})
    CHECK(set("max-time", bad) == "refused");
  CHECK(set("on-nan", "stop") == "stop");
  CHECK(recipe.stop_on_nan);

  Dataset dataset;
  dataset.classes = {"left", "right", "wave"};
  for (const int64_t label : {0, 0, 0, 1, 2, 2}) dataset.samples.push_back({"", label, "", 0});
  const Tensor weights = balanced_class_weights(dataset, {1, 0, 2});  // 2, 2 and 2 as they are seen
  for (const float weight : weights.values<float>()) CHECK(weight == doctest::Approx(1));
}
