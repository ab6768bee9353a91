#include <sys/resource.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/run_folders.h"
#include "train/environment.h"

using namespace engine;
using namespace engine::test;
using nlohmann::ordered_json;
using program_run::Outcome;
using program_run::Process;
using program_run::read_text;

namespace {

std::vector<ordered_json> lines_of(const std::string& folder) {
  std::istringstream text(read_text(folder + "/metrics.jsonl"));
  std::vector<ordered_json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(ordered_json::parse(line));
  return lines;
}

void strip_times(ordered_json& value) {
  if (!value.is_object()) return;
  std::vector<std::string> times;
  for (auto& [key, member] : value.items()) {
    if (key == "t" || key == "time" || key.ends_with("seconds") || key.ends_with("per_second")) times.push_back(key);
    strip_times(member);
  }
  for (const std::string& key : times) value.erase(key);
}

// What two runs with the same command have in common.
std::string timeless(const std::string& folder) {
  std::string text;
  for (ordered_json& line : lines_of(folder)) {
    if (line.at("kind") == "warning") continue;  // of waiting for clips
    strip_times(line);
    text += line.dump() + "\n";
  }
  return text;
}

const ModelFile& three_classes() {
  static const ModelFile model = described(Head::classification, {"clap", "throw", "wave"});
  return model;
}

}  // namespace

TEST_CASE("run log: what happens is a line each, what is not finite is null") {
  const TemporaryFolder folder;
  {
    RunLog log(folder.path());
    log.start(facts_of(three_classes()));
    log_steps(log, three_classes(), 1, 7, 13);
    log.warning(7, 1, "warning: \xff slow");
    const Evaluation test = drawn_evaluation(three_classes(), 17, 4);
    log.test({test, test}, {}, 1, 7, three_classes().classes);
    log.end("done");
  }
  const std::vector<ordered_json> lines = lines_of(folder.path());
  std::string kinds;
  double t = 0;
  for (const ordered_json& line : lines) {
    kinds += line.at("kind").get<std::string>() + " ";
    CHECK(line.at("t").get<double>() >= t);
    t = line.at("t");
  }
  CHECK(kinds == "start step step step step step step step epoch eval checkpoint warning test end ");
  CHECK(lines[0].at("parameters") == 373386);
  CHECK(lines[0].at("outputs") == ordered_json({"clap", "throw", "wave"}));
  CHECK(lines[3].at("loss") == 2.5 / 3);
  CHECK(lines[3].at("learning_rate") == 1e-3 / 3);
  CHECK_FALSE(lines[3].contains("nan"));
  CHECK(lines[5].at("loss").is_null());
  CHECK(lines[5].at("nan") == true);
  CHECK(lines[5].at("skipped") == true);
  CHECK(lines[8].at("train_loss") == 1.9);
  CHECK(lines[8].at("loader").at("wait_seconds") == 0.5);
  CHECK(lines[9].at("confusion").size() == 3);
  CHECK(lines[9].at("step") == 7);
  CHECK(lines[12].at("epoch") == 1);
}

TEST_CASE("run log: of a long run, steps are thinned by their number alone") {
  const TemporaryFolder folder;
  RunLog log(folder.path());
  log.start(facts_of(three_classes()));
  for (const int64_t step : {999, 1000, 1001, 1009, 1010, 9990, 10'000, 10'010, 10'100})
    log.step({.epoch = 1, .result = {.step = step}});
  std::string steps;
  for (const ordered_json& line : lines_of(folder.path()))
    if (line.at("kind") == "step") steps += line.at("step").dump() + " ";
  CHECK(steps == "999 1000 1010 9990 10000 10100 ");
}

TEST_CASE("run log: that of a run that goes on is that of an undisturbed one") {
  const TemporaryFolder whole, part;
  {
    RunLog log(whole.path());
    log.start(facts_of(three_classes()));
    log_steps(log, three_classes(), 1, 21, 13);
    log.end("done");
  }
  {
    RunLog log(part.path());
    log.start(facts_of(three_classes()));
    log_steps(log, three_classes(), 1, 12, 13);
    log.end("stopped", "SIGTERM");
  }
  // Killed within a line, and gone on with from step 10, in the second epoch.
  std::ofstream(part / "metrics.jsonl", std::ios::app) << R"({"kind":"step","epoch":1,"st)";
  {
    RunLog log(part.path(), RunLog::Reached{.steps = 10, .epochs = 1});
    log.start(facts_of(three_classes()));
    log_steps(log, three_classes(), 11, 14, 13);
  }
  // And from between two epochs, whose checkpoint was the last.
  RunLog log(part.path(), RunLog::Reached{.steps = 14, .epochs = 2});
  log.start(facts_of(three_classes()));
  log_steps(log, three_classes(), 15, 21, 13);
  log.end("done");
  CHECK(timeless(part.path()) == timeless(whole.path()));
  double t = 0;
  for (const ordered_json& line : lines_of(part.path())) {
    CHECK(line.at("t").get<double>() >= t);
    t = line.at("t");
  }
}

TEST_CASE("run log: TensorBoard gets scalars, histograms and pictures") {
  const TemporaryFolder folder;
  {
    RunLog log(folder.path());
    log.start(facts_of(three_classes()));
    log_steps(log, three_classes(), 1, 7, 13);
  }
  std::string events;
  for (const std::string& name : folder.names())
    if (name.starts_with("events.out.tfevents.")) events = read_text(folder / name);
  for (const char* tag : {"train/loss", "train/learning_rate", "train/clips_per_second", "train/waiting_share",
                          "val/loss", "val/accuracy", "parameters/conv1.weight"})
    CHECK_MESSAGE(events.find(tag) != std::string::npos, tag);
  if (video_available()) {
    CHECK(events.find("val/confusion") != std::string::npos);
    CHECK(events.find(read_text(folder / "pictures/confusion-val.png")) != std::string::npos);
  }
}

TEST_CASE("run log: a new run takes away an earlier one's, and leaves nothing when it makes no step") {
  const TemporaryFolder folder;
  {
    RunLog log(folder.path());
    log.start(facts_of(three_classes()));
    log_steps(log, three_classes(), 1, 3, 0);
  }
  CHECK(folder.names().size() >= 4);
  program_run::write_text(folder / "mine.txt", "kept");
  {
    RunLog log(folder.path());
    log.start(facts_of(three_classes()));
    CHECK(lines_of(folder.path()).size() == 1);
  }
  CHECK(folder.names() == std::vector<std::string>{"mine.txt"});
}

TEST_CASE("run log: a full disk ends nothing, and no half line stays") {
  const TemporaryFolder folder;
  RunLog log(folder.path());
  log.start(facts_of(three_classes()));
  log_steps(log, three_classes(), 1, 2, 0);
  const auto bytes = std::filesystem::file_size(folder / "metrics.jsonl");
  struct rlimit old {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit low { .rlim_cur = bytes + 20, .rlim_max = old.rlim_max };
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
  log_steps(log, three_classes(), 3, 4, 0);
  log.report();
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CHECK(std::filesystem::file_size(folder / "metrics.jsonl") == bytes);
  log_steps(log, three_classes(), 6, 6, 0);
  const auto lines = lines_of(folder.path());
  CHECK(lines.size() == 4);
  CHECK(lines.back().at("step") == 6);
}

TEST_CASE("run log: environment and command are told") {
  const auto environment = ordered_json::parse(environment_json("cpu, f32", 3));
  for (const char* key : {"engine", "compiler", "system", "processor", "onednn", "ffmpeg", "cuda"})
    CHECK_MESSAGE(!environment.at(key).get<std::string>().empty(), key);
  CHECK(environment.at("threads") == 3);
  CHECK(command_line().find("engine_tests") != std::string::npos);
}

TEST_CASE("run log: engine_train, stopped and gone on with, writes what an undisturbed run writes") {
  const TemporaryFolder folder;
  program_run::make_videos(folder / "videos", 3, 1);
  const auto train = [&](const std::string& out) {
    return std::vector<std::string>{
        folder / "videos", "--out", folder / out, "--epochs", "3",         "--batch", "3",         "--size", "16",
        "--frames",        "2",     "--progress", "none",     "--threads", "1",       "--workers", "0"};
  };
  REQUIRE(program_run::run(folder, "engine_train", train("whole")).code == exit_code::kOk);
  {
    const TemporaryFolder output;  // its own: what is waited for is in that of the run before, too
    const Process process(output, "engine_train", train("part"));
    REQUIRE(process.wait_for("Epoch 1/3"));
    kill(process.pid(), SIGTERM);
    const int code = process.finish().code;
    CHECK((code == exit_code::kStopped || code == exit_code::kOk));
  }
  const Outcome outcome = program_run::run(folder, "engine_train", {"--resume", folder / "part"});
  CAPTURE(outcome.err);
  REQUIRE(outcome.code == exit_code::kOk);
  CHECK(timeless(folder / "part") == timeless(folder / "whole"));
  for (const char* file : {"report.html", "confusion.csv", "environment.json", "command.txt", "metrics.csv"})
    CHECK_MESSAGE(std::filesystem::exists(folder / ("part/" + std::string(file))), file);
  const std::string page = read_text(folder / "whole/report.html");
  CHECK(page.find("Test accuracy") != std::string::npos);
  const Outcome again = program_run::run(folder, "engine_predict", {"report", folder / "whole"});
  CHECK(again.code == exit_code::kOk);
  CHECK(read_text(folder / "whole/report.html") == page);
  const Outcome missing = program_run::run(folder, "engine_predict", {"report", folder / "videos"});
  CHECK(missing.code == exit_code::kNoInput);
  CHECK(missing.err.find("no metrics.jsonl in it") != std::string::npos);
}
