#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "engine/random.h"
#include "program_run.h"
#include "train/checkpoints.h"
#include "train/data_options.h"

using namespace engine;
using program_run::Outcome;
using program_run::Process;
using program_run::read_text;
using program_run::run;
using program_run::TemporaryFolder;
using program_run::write_text;
using program_run::fs::path;

namespace fs = std::filesystem;

namespace {

// Sanitizers make processes slow, and what is killed here leaves files, not memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kKills = 6;
#else
constexpr int kKills = 50;
#endif

// Ten classes of small videos, four clips each to train on.
const std::string& videos() {
  static const TemporaryFolder folder;
  static const std::string made = [] {
    program_run::make_videos(folder / "videos", 4, 1);
    return folder / "videos";
  }();
  return made;
}

// Three epochs of eight steps, with everything drawn that can be.
std::vector<std::string> training(const std::string& out, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {
      videos(),        "--out",      out,        "--epochs",  "3",         "--batch",   "4",
      "--size",        "16",         "--frames", "2",         "--dropout", "0.2",       "--flip",
      "--random-crop", "--progress", "none",     "--threads", "1",         "--workers", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// What a finished run left: the last checkpoint, the models, and the figures of every epoch without its times.
std::map<std::string, std::string> left_by(const std::string& folder) {
  std::map<std::string, std::string> result;
  std::string report;
  const auto found = newest_checkpoint(folder, report);
  REQUIRE(found);
  CHECK(report.empty());
  RunState state = found->state;
  for (EpochReport& epoch : state.fit.epochs) epoch.seconds = epoch.clips_per_second = 0;
  state.config.clear();  // where the run is
  result["checkpoint"] = encode_safetensors(to_tensor_file(state));
  result["best"] = read_text(folder + "/best.safetensors");
  result["last"] = read_text(folder + "/last.safetensors");
  return result;
}

const std::map<std::string, std::string>& undisturbed() {
  static const TemporaryFolder folder;
  static const std::map<std::string, std::string> result = [] {
    const Outcome outcome = run(folder, "engine_train", training(folder / "run"));
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == exit_code::kOk);
    return left_by(folder / "run");
  }();
  return result;
}

// Whether the library that kills and fails at system calls (tests/preload) was built.
bool can_fail_calls() {
  if (fs::exists(test::program_folder() + "/failing_calls.so")) return true;
  MESSAGE("skipped: failing_calls.so was not built beside the tests, or the build is a sanitizer's");
  return false;
}

// A part of a shell's command line: at the nth call in the folder, by the main thread or by all others, what follows
// is killed, or has the call fail with this errno.
std::string failing(const char* threads, int nth, int error, const std::string& folder) {
  return "ENGINE_TEST_FAULT='" + std::string(threads) + " " + std::to_string(nth) + " " + std::to_string(error) + " " +
         folder + "' LD_PRELOAD='" + test::program_folder() + "/failing_calls.so'";
}

// engine_train behind this part of a shell's command line.
Outcome run_with(const TemporaryFolder& scratch, std::string command, const std::vector<std::string>& arguments) {
  command += concat(" ", program_run::kWithoutCuda, "'", test::program_folder(), "/engine_train'");
  for (const std::string& word : arguments) command += " '" + word + "'";
  const std::string out = scratch / "traced.out", err = scratch / "traced.err";
  const int status = std::system(("{ " + command + "; } >'" + out + "' 2>'" + err + "'").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
}

int checkpoints_in_folder(const std::string& folder) { return static_cast<int>(checkpoints_in(folder).size()); }

RunState small_state() {
  RunState state;
  state.model.model = "sora-cnn";
  state.model.classes = {"a", "b"};
  state.model.tensors = {{"weight", uniform({3, 5}, -1, 1, *std::make_unique<Random>(4))}};
  state.trainer.moments = {{"first_moment.weight", Tensor::full({3, 5}, 0.25)},
                           {"second_moment.weight", Tensor::full({3, 5}, 0.5)}};
  state.trainer.steps = 70;
  state.trainer.skipped = 2;
  state.trainer.skipped_in_a_row = 1;
  state.schedule_steps = 90;
  state.config = "[optim]\nlr = 0.5\n";
  state.data = "3 4 5";
  Evaluation nothing = make_metrics(state.model)->result();
  EpochReport report{.epoch = 1, .train_loss = 0.1, .seconds = 1.5, .clips_per_second = 33, .validation = nothing};
  report.best = true;
  report.validation.samples = 7;
  report.validation.loss = 1.0 / 3;
  report.validation.figures[0].value = 2.0 / 7;
  state.fit.epochs = {report, report};
  state.fit.epochs[1].epoch = 2;
  state.fit.epochs[1].train_loss = INFINITY;
  state.fit.best_epoch = 1;
  state.fit.batches = 5;
  state.fit.loss_sum = 1e-3 / 3;
  state.fit.learned = 18;
  state.fit.seen = 20;
  return state;
}

}  // namespace

TEST_CASE("run state: comes back as it was, and the model in it can be loaded by itself") {
  const RunState state = small_state();
  const TensorFile file = to_tensor_file(state);
  const RunState back = to_run_state(file, "here");
  CHECK(encode_safetensors(to_tensor_file(back)) == encode_safetensors(file));
  CHECK(back.fit.epochs.size() == 2);
  CHECK(back.fit.epochs[0].validation.loss == 1.0 / 3);
  CHECK(back.fit.epochs[0].validation.figures[0].value == 2.0 / 7);
  CHECK(std::isnan(back.fit.epochs[0].validation.figures[1].value));
  CHECK(back.fit.epochs[1].train_loss == INFINITY);
  CHECK(back.fit.loss_sum == state.fit.loss_sum);
  CHECK(back.trainer.steps == 70);
  CHECK(back.config == state.config);
  const ModelFile model = to_model_file(file, "here");
  REQUIRE(model.tensors.size() == 1);
  CHECK(model.tensors[0].name == "weight");
}

TEST_CASE("run state: what is no run, or malformed, is refused by name") {
  const TensorFile file = to_tensor_file(small_state());
  const auto refused = [&](const std::string& key, const std::string& text, const char* message) {
    TensorFile changed = file;
    text.empty() ? (void)changed.metadata.erase(key) : (void)(changed.metadata[key] = text);
    CHECK_THROWS_WITH_AS(to_run_state(changed, "here"), doctest::Contains(message), Error);
  };
  refused("training", "", "here: metadata has no 'training'; a model, but no run to go on with");
  refused("config", "", "metadata has no 'config'");
  refused("data", "", "metadata has no 'data'");
  refused("training", "{", "here: metadata 'training' is '{'");
  const std::string good = file.metadata.at("training");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t place = text.find(from);
    REQUIRE(place != std::string::npos);
    return text.replace(place, from.size(), to);
  };
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"steps\":70", "\"steps\":-70"},
                                                        {"\"steps\":70", "\"steps\":7.5"},
                                                        {"\"steps\":70", "\"stepz\":70"},
                                                        {"\"inf\"", "\"infinite\""},
                                                        {"\"best_epoch\":1", "\"best_epoch\":3"},
                                                        {"\"best_epoch\":1", "\"best_epoch\":0"},
                                                        {"\"figures\":[", "\"figures\":[1,"},
                                                        {"\"best\":true", "\"best\":\"yes\""}})
    refused("training", with(from, to), "metadata 'training' is");
}

TEST_CASE("checkpoints: the newest whole one is found, damaged ones are set aside, old ones go") {
  const TemporaryFolder folder;
  RunState state = small_state();
  {
    CheckpointWriter writer(folder.path(), 3);
    for (const int64_t step : {5, 10, 15, 20}) {
      state.trainer.steps = step;
      writer.write(step, to_tensor_file(state));
    }
    writer.finish();
  }
  CHECK(checkpoints_in_folder(folder.path()) == 3);
  std::string report;
  CHECK(newest_checkpoint(folder.path(), report)->state.trainer.steps == 20);
  CHECK(report.empty());
  std::string bytes = read_text(folder / checkpoint_name(20));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 16);
  write_text(folder / checkpoint_name(20), bytes);
  write_text(folder / checkpoint_name(15), read_text(folder / checkpoint_name(15)).substr(0, 100));
  const auto found = newest_checkpoint(folder.path(), report);
  REQUIRE(found);
  CHECK(found->state.trainer.steps == 10);
  CHECK(found->path == folder / checkpoint_name(10));
  CHECK(report.find(checkpoint_name(20)) != std::string::npos);
  CHECK(report.find("set aside as .bad\n") != std::string::npos);
  CHECK(fs::exists(folder / (checkpoint_name(20) + ".bad")));
  CHECK(fs::exists(folder / (checkpoint_name(15) + ".bad")));
  CHECK(!newest_checkpoint(folder / "none", report));
}

TEST_CASE("checkpoints: one flipped bit in any byte is noticed, and numbers that are not finite") {
  const TemporaryFolder folder;
  RunState state = small_state();
  const std::string bytes = encode_safetensors(to_tensor_file(state)), path = folder / checkpoint_name(7);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    write_text(path, flipped);
    std::string report;
    CAPTURE(i);
    REQUIRE(!newest_checkpoint(folder.path(), report));
    REQUIRE(report.starts_with("warning: checkpoint '" + path + "': "));
  }
  for (std::vector<NamedTensor>* tensors : {&state.model.tensors, &state.trainer.moments}) {
    tensors->back().tensor.values<float>()[4] = NAN;
    CHECK_THROWS_WITH_AS(to_run_state(to_tensor_file(state), "here"),
                         ("here: tensor '" + tensors->back().name + "' has 1 non-finite values").c_str(), Error);
    tensors->back().tensor.values<float>()[4] = 0;
  }
}

TEST_CASE("checkpoints: one that cannot be written is told at the next one") {
  const TemporaryFolder folder;
  CheckpointWriter writer(folder / "not made", 2);
  writer.write(1, to_tensor_file(small_state()));
  CHECK_THROWS_WITH_AS(writer.finish(), doctest::Contains("cannot write"), Error);
  writer.finish();
}

TEST_CASE("engine_train: a run that was killed at random moments ends in the same bytes") {
  const auto& whole = undisturbed();
  Random random(21);
  int killed = 0;
  for (int chain = 0; killed < kKills; ++chain) {
    REQUIRE(chain < 60);
    const TemporaryFolder folder;
    const std::string out = folder / "run";
    Outcome outcome;
    for (int attempt = 0;; ++attempt) {
      REQUIRE(attempt < 60);
      // Every other one in the middle of an epoch, where it is by steps; these also without a worker thread.
      std::vector<std::string> arguments = training(out, {"--checkpoint-steps", chain % 2 ? "1" : "3"});
      if (checkpoints_in_folder(out) > 0)
        arguments = {"--resume", out, "--progress", "none", "--workers", attempt % 2 ? "0" : "2"};
      else if (fs::exists(out))
        arguments.push_back("--force");
      const Process process(folder, "engine_train", arguments);
      // Later and later, so that a slow machine gets to the end, too.
      std::this_thread::sleep_for(std::chrono::milliseconds(40 + random.below(400 + 100 * attempt)));
      kill(process.pid(), SIGKILL);
      outcome = process.finish();
      if (outcome.code != -SIGKILL) break;
      ++killed;
    }
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == exit_code::kOk);
    CHECK(left_by(out) == whole);
    for (const auto& entry : fs::directory_iterator(out)) CHECK(!entry.path().filename().string().starts_with(".tmp-"));
  }
  MESSAGE(killed, " processes killed");
}

TEST_CASE("engine_train: killed at every system call of a checkpoint, a run goes on from a whole one") {
  if (!can_fail_calls()) return;
  const auto& whole = undisturbed();
  const TemporaryFolder begun;
  REQUIRE(run(begun, "engine_train", training(begun / "run", {"--max-steps", "22", "--schedule-epochs", "3"})).code ==
          0);
  int nth = 1;
  for (;; ++nth) {
    CAPTURE(nth);
    REQUIRE(nth < 200);
    const TemporaryFolder folder;
    const std::string out = folder / "run";
    fs::copy(begun / "run", out);
    const std::vector<std::string> arguments = {"--resume", out, "--max-steps", "0", "--progress", "none"};
    std::vector<std::string> killable = arguments;
    killable.insert(killable.end(), {"--checkpoint-steps", "1"});
    // Only checkpoints are written by other threads than the main one.
    if (run_with(folder, failing("others", nth, 0, out), killable).code == exit_code::kOk) break;
    const Outcome outcome = run(folder, "engine_train", arguments);
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == exit_code::kOk);
    CHECK(outcome.err.find("set aside as") == std::string::npos);
    CHECK(left_by(out) == whole);
  }
  const int calls = nth - 1;
  MESSAGE(calls, " system calls");
  CHECK(nth > 20);
}

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST_CASE("engine_train: checkpoints that cannot be written cost a warning each, the third in a row the run") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  // Enough for the 1.5 MB of the models, too little for the 4.5 MB of a checkpoint, in blocks of 512 bytes.
  const Outcome outcome = run_with(folder, "ulimit -f 6000;", training(out));
  CAPTURE(outcome.err);
  CHECK(outcome.code == exit_code::kStorage);
  CHECK(count_of(outcome.err, "warning: a checkpoint was not saved: cannot write '" + out + "/ckpt-") == 2);
  CHECK(outcome.err.find("engine_train: error: cannot write '" + out + "/" + checkpoint_name(24)) != std::string::npos);
  CHECK(outcome.err.find("File too large") != std::string::npos);
  CHECK(checkpoints_in(out).empty());
  CHECK(read_text(out + "/best.safetensors") == undisturbed().at("best"));
}

TEST_CASE("engine_train: a storage error costs a warning and nothing else when the next save succeeds") {
  if (!can_fail_calls()) return;
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const auto run_failing = [&](const char* threads, int nth, int error) {
    const Outcome outcome = run_with(folder, failing(threads, nth, error, out), training(out, {"--force"}));
    CAPTURE(threads);
    CAPTURE(nth);
    CAPTURE(outcome.err);
    CHECK(outcome.code == exit_code::kOk);
    CHECK(left_by(out) == undisturbed());
    return outcome.err;
  };
  // The first checkpoint's calls: the folder opened, the file made, its space taken, written, flushed, ...
  for (int nth = 1; nth <= 7; ++nth)
    CHECK(count_of(run_failing("others", nth, nth % 2 ? EIO : ENOSPC), "warning: a checkpoint was not saved: ") <= 1);
  // Those of the main thread, until it is the model of an epoch that cannot be saved.
  const std::string missed = "warning: epoch 1 was not saved: cannot write '" + out;
  int nth = 60;
  while (count_of(run_failing("main", nth, EROFS), missed) == 0) {
    nth += 5;
    REQUIRE(nth < 200);
  }
}

TEST_CASE("engine_train: --resume after each kind of stop, with the schedule that it began with") {
  const auto& whole = undisturbed();
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const auto resume = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--resume", out, "--progress", "none"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(folder, "engine_train", arguments);
  };
  SUBCASE("by a limit of steps, in an epoch") {
    REQUIRE(run(folder, "engine_train", training(out, {"--max-steps", "5", "--schedule-epochs", "3"})).code == 0);
    const Outcome outcome = resume({"--max-steps", "0", "--workers", "3"});
    CAPTURE(outcome.err);
    CHECK(outcome.code == exit_code::kOk);
    CHECK(outcome.err.find("resumed from " + out + "/" + checkpoint_name(5) + ": 0 epochs and 5 of 8 batches\n") !=
          std::string::npos);
  }
  SUBCASE("by fewer epochs") {
    REQUIRE(run(folder, "engine_train", training(out, {"--epochs", "1", "--schedule-epochs", "3"})).code == 0);
    CHECK(resume({"--epochs", "3"}).code == exit_code::kOk);
  }
  SUBCASE("by signals") {
    const Process process(folder, "engine_train", training(out));
    REQUIRE(process.wait_for("Epoch 1/3"));
    kill(process.pid(), SIGUSR1);
    const Outcome stopped = process.finish();
    CHECK(stopped.code == exit_code::kStopped);
    CHECK(stopped.err.find("go on with: engine_train --resume " + out + "\n") != std::string::npos);
    CHECK(resume({}).code == exit_code::kOk);
  }
  SUBCASE("when it is finished already") {
    REQUIRE(run(folder, "engine_train", training(out)).code == 0);
    CHECK(resume({}).code == exit_code::kOk);
  }
  CHECK(left_by(out) == whole);
}

TEST_CASE("engine_train: raising --epochs keeps the schedule, unless it is given anew") {
  const TemporaryFolder folder;
  const auto run_to = [&](const std::string& out, const std::vector<std::string>& more) {
    const Outcome outcome = run(folder, "engine_train", training(out, more));
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == exit_code::kOk);
  };
  const auto last = [&](const std::string& out) {
    RunState state = newest_checkpoint(out, *std::make_unique<std::string>())->state;
    return std::make_pair(encode_safetensors({{}, state.model.tensors}), state.schedule_steps);
  };
  run_to(folder / "short", {"--epochs", "1"});
  REQUIRE(run(folder, "engine_train", {"--resume", folder / "short", "--epochs", "2"}).code == 0);
  run_to(folder / "long", {"--epochs", "2", "--schedule-epochs", "1"});
  CHECK(last(folder / "short") == last(folder / "long"));
  CHECK(last(folder / "short").second == 8);
  REQUIRE(run(folder, "engine_train", {"--resume", folder / "short", "--epochs", "3", "--schedule-epochs", "3"}).code ==
          0);
  CHECK(last(folder / "short").second == 24);
}

TEST_CASE("engine_train: what cannot be gone on with is refused") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  REQUIRE(run(folder, "engine_train", training(out, {"--epochs", "1"})).code == 0);
  const auto refused = [&](const std::vector<std::string>& arguments, int code, const std::string& message) {
    const Outcome outcome = run(folder, "engine_train", arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.code == code);
    CHECK(outcome.err.find(message) != std::string::npos);
    CHECK(std::ranges::count(outcome.err, '\n') == 1);
  };
  refused(training(out), exit_code::kUsage, "holds a run already; go on with it by --resume " + out);
  refused({"--resume", folder / "none"}, exit_code::kNoInput, "no checkpoint to go on from");
  refused({"--resume", out, "--lr", "0.5"}, exit_code::kUsage,
          "--lr is 0.5, but the run was trained with 0.001 so far; leave it out, or add --force");
  const std::string list = folder / "other.txt";
  write_text(list, videos() + "/train/discs/0000.mp4 0\n" + videos() + "/train/discs/0001.mp4 1\n");
  refused({"--resume", out, "--train", list}, exit_code::kData, "are not those that");
  const std::string newest = checkpoints_in(out).front();
  for (const fs::path& each : checkpoints_in(out)) write_text(each, "no checkpoint");
  const Outcome damaged = run(folder, "engine_train", {"--resume", out});
  CHECK(damaged.code == exit_code::kNoInput);
  CHECK(damaged.err.find("set aside as .bad") != std::string::npos);
  CHECK(read_text(newest + ".bad") == "no checkpoint");
}
