#include <sys/file.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <regex>

#include "engine/tensor.h"
#include "program_run.h"
#include "tests/places.h"
#include "train/run_folder.h"

using namespace program_run;
namespace exit_code = engine::exit_code;

namespace {

// A run of one epoch over the ten videos in each of train/ and test/, made once.
class Fixture {
 public:
  Fixture() {
    make_videos(folder_ / "videos");
    trained_ = train({"--out", run()});
  }
  std::string videos() const { return folder_ / "videos"; }
  std::string run() const { return folder_ / "run"; }
  std::string model() const { return folder_ / "run/best.safetensors"; }
  const Outcome& trained() const { return trained_; }
  const TemporaryFolder& folder() const { return folder_; }

  Outcome train(std::vector<std::string> flags) const {
    std::vector<std::string> all = {videos(), "--epochs", "1", "--frames", "1", "--progress", "none"};
    all.insert(all.end(), flags.begin(), flags.end());
    return program_run::run(folder_, "engine_train", all);
  }
  Outcome predict(const std::vector<std::string>& arguments) const {
    return program_run::run(folder_, "engine_predict", arguments);
  }

 private:
  TemporaryFolder folder_;
  Outcome trained_;
};

const Fixture& fixture() {
  static const Fixture once;
  return once;
}

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of('\n');
  if (end == std::string::npos) return "";
  const size_t start = text.rfind('\n', end);
  return text.substr(start + 1, end - start);
}

// The program refused with this code, said so in one line that holds `words`, and left no file of a model.
void check_refused(const Outcome& outcome, int code, const std::string& words, const std::string& out = "") {
  CAPTURE(outcome.err);
  CHECK(outcome.code == code);
  CHECK(outcome.out.empty());
  const std::string line = last_line(outcome.err);
  CHECK(line.find(": error: ") != std::string::npos);
  CHECK(line.find(words) != std::string::npos);
  const std::string& err = outcome.err;
  CHECK(err.find(": error: ") == err.rfind(": error: "));
  CHECK((out.empty() || !fs::exists(out)));
}

void check_training_refused(const std::string& data, const std::vector<std::string>& flags, int code,
                            const std::string& words) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  std::vector<std::string> all = {data, "--out", out, "--epochs", "1", "--progress", "none"};
  all.insert(all.end(), flags.begin(), flags.end());
  check_refused(run(folder, "engine_train", all), code, words, out);
}

std::string a_video() { return fixture().videos() + "/train/bars/0000.mp4"; }

}  // namespace

TEST_CASE("engine_train: trains, saves, tests; data on stdout, talk on stderr") {
  const Outcome& outcome = fixture().trained();
  CAPTURE(outcome.err);
  REQUIRE(outcome.code == exit_code::kOk);
  CHECK(outcome.out.starts_with("Epoch 1/1 train loss "));
  CHECK(outcome.out.find(" Accuracy: ") != std::string::npos);
  CHECK(last_line(outcome.out).starts_with("Test accuracy: "));
  for (const char* file : {"best.safetensors", "last.safetensors", "config.toml", "metrics.csv"})
    CHECK(fs::exists(fixture().run() + "/" + file));
  CHECK(read_text(fixture().run() + "/metrics.csv").starts_with("epoch,train_loss,val_loss,accuracy,"));
}

TEST_CASE("engine_train: its config.toml repeats the run, to the byte") {
  const std::string again = fixture().folder() / "again";
  const Outcome outcome = run(fixture().folder(), "engine_train",
                              {"-c", fixture().run() + "/config.toml", "--out", again, "--workers", "2"});
  CAPTURE(outcome.err);
  REQUIRE(outcome.code == exit_code::kOk);
  CHECK(read_text(again + "/last.safetensors") == read_text(fixture().run() + "/last.safetensors"));
}

TEST_CASE("engine_train: --json prints one object a line") {
  const Outcome outcome = fixture().train({"--json", "--out", fixture().folder() / "json"});
  REQUIRE(outcome.code == exit_code::kOk);
  std::istringstream lines(outcome.out);
  std::vector<std::string> kinds;
  for (std::string line; std::getline(lines, line);) kinds.push_back(nlohmann::json::parse(line).at("kind"));
  CHECK(kinds == std::vector<std::string>{"epoch", "test"});
}

TEST_CASE("engine_train: --tune says that it is not for the CPU; plans of no file are refused") {
  const Outcome outcome = fixture().train({"--dry-run", "--tune", "--out", fixture().folder() / "tuned"});
  CHECK(outcome.code == exit_code::kOk);
  CHECK(outcome.err.find("--tune is for CUDA devices and does nothing on the CPU\n") != std::string::npos);
  check_training_refused(fixture().videos(), {"--plans", fixture().folder() / "no.txt"}, exit_code::kNoInput,
                         "no.txt: no such file, or it cannot be read");
  const std::string empty = fixture().folder() / "empty.txt";
  write_text(empty, "");
  check_training_refused(fixture().videos(), {"--plans", empty}, exit_code::kCheckpoint,
                         "empty.txt: empty file (0 bytes)");
}

TEST_CASE("engine_train: --dry-run writes nothing") {
  const std::string out = fixture().folder() / "dry";
  const Outcome outcome =
      fixture().train({"--dry-run", "--size", "48x32", "--flip", "--flip-swap", "bars:discs", "--out", out});
  CHECK(outcome.code == exit_code::kOk);
  CHECK(outcome.err.find("input 1 frames of 48x32, rgb") != std::string::npos);
  CHECK(!fs::exists(out));
}

TEST_CASE("engine_train: config, doctor and help need no data") {
  const TemporaryFolder folder;
  const Outcome config = run(folder, "engine_train", {"config", "--lr", "0.5"});
  CHECK(config.code == exit_code::kOk);
  CHECK(config.out.find("\nlr = 0.5\n") != std::string::npos);
  const std::string report = run(folder, "engine_train", {"doctor"}).out;
  CAPTURE(report);
  CHECK(report.find("threads") != std::string::npos);
  CHECK(std::regex_search(report, std::regex("\\nonednn +\\d+\\.\\d+\\.\\d+\\n")));
  CHECK(std::regex_search(report, std::regex("\\nffmpeg +.+ \\(libavcodec \\d+\\.\\d+\\.\\d+\\)\\n")));
  CHECK(report.find("h264") != std::string::npos);
  CHECK(std::regex_search(report, std::regex("\\ntest +passed products of integers on cpu: 7 of 7 exact\\n")));
  CHECK(std::regex_search(report, std::regex("\\ntest +passed convolutions of integers on cpu: 6 of 6 exact\\n")));
  CHECK(std::regex_search(report,
                          std::regex("\\ntest +passed ten steps of training on cpu: .*, the same bits twice\\n")));
  const Outcome help = run(folder, "engine_train", {"--help"}), all = run(folder, "engine_train", {"--help-all"});
  CHECK(help.code == exit_code::kOk);
  CHECK(all.code == exit_code::kOk);
  CHECK(help.out.find("Examples:") < help.out.find("--epochs"));
  CHECK(help.out.find("--help-all") != std::string::npos);
  CHECK(help.out.find("--label-smoothing") == std::string::npos);
  CHECK(all.out.find("--label-smoothing") != std::string::npos);
  CHECK(std::ranges::count(help.out, '\n') <= 60);
}

TEST_CASE("engine_train config: as it is without anything, as it will be, and whether a file will do") {
  const TemporaryFolder folder;
  const auto config = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"config"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(folder, "engine_train", arguments);
  };
  CHECK(config({"--defaults", "--lr", "0.5"}).out == config({}).out);
  CHECK(config({"--lr", "0.5"}).out != config({}).out);
  const std::string resolved = config({"--resolved", "--threads", "2", fixture().videos()}).out;
  CAPTURE(resolved);
  CHECK(config({}).out.find("\nframes = 'auto'\n") != std::string::npos);
  CHECK(resolved.find("\nframes = 4\n") != std::string::npos);
  CHECK(resolved.find("\nsize = '32x32'\n") != std::string::npos);
  CHECK(config({"--resolved", folder / "none"}).code == exit_code::kNoInput);
  const std::string good = folder / "good.toml", bad = folder / "bad.toml";
  write_text(good, resolved);
  write_text(bad, "[optim]\nlr = 0.1\nepoch = 3\n");
  CHECK(config({"--check", good}).out == good + ": can be used\n");
  const Outcome refused = config({"--check", bad});
  CHECK(refused.code == exit_code::kUsage);
  CHECK(refused.err ==
        "engine_train: error: " + bad + ":3:1: unknown key 'optim.epoch'; did you mean 'optim.epochs'?\n");
}

TEST_CASE("engine_train: data that cannot be used") {
  const TemporaryFolder folder;
  check_training_refused(folder / "nothing", {}, exit_code::kNoInput, "nothing");
  fs::create_directories(folder / "empty");
  check_training_refused(folder / "empty", {}, exit_code::kData, "empty");
  for (const char* name : {"text/a/1.mp4", "text/b/1.mp4"}) write_text(folder / name, "hello, this is no video\n");
  check_training_refused(folder / "text", {}, exit_code::kData, "1.mp4");
  const std::string video = read_text(a_video());
  for (const char* name : {"cut/a/1.mp4", "cut/b/1.mp4"}) write_text(folder / name, video.substr(0, video.size() / 2));
  check_training_refused(folder / "cut", {}, exit_code::kData, "1.mp4");
  for (const char* name : {"latin/a/1.mp4", "latin/b\xe9/1.mp4"}) write_text(folder / name, video);
  check_training_refused(folder / "latin", {}, exit_code::kData, "b\\xe9\" is not UTF-8");
  write_text(folder / "single/a/1.mp4", video);
  check_training_refused(folder / "single", {}, exit_code::kData, "two classes");
}

TEST_CASE("engine_train: lists with mistakes are told by line") {
  const TemporaryFolder folder;
  const std::string other = fixture().videos() + "/train/discs/0000.mp4";
  write_text(folder / "classes.txt", "bars\ndiscs\n");
  write_text(folder / "range.txt", a_video() + " 0\n" + other + " 2\n");
  check_training_refused(folder / "range.txt", {"--classes", folder / "classes.txt"}, exit_code::kData,
                         "range.txt:2: ");
  write_text(folder / "negative.txt", a_video() + " 0\n" + other + " -1\n");
  check_training_refused(folder / "negative.txt", {}, exit_code::kData, "negative.txt:2: ");
  write_text(folder / "missing.txt", a_video() + " 0\nnone.mp4 1\n");
  check_training_refused(folder / "missing.txt", {}, exit_code::kNoInput, "none.mp4");
}

TEST_CASE("engine_train: wrong flags and settings") {
  const TemporaryFolder folder;
  const std::string videos = fixture().videos();
  check_training_refused(videos, {"--epoch", "3"}, exit_code::kUsage, "unknown flag --epoch; did you mean '--epochs'?");
  check_training_refused(videos, {"--lr", "-1"}, exit_code::kUsage, "--lr must be a number over 0");
  check_training_refused(videos, {"--model", "sora-cn"}, exit_code::kUsage, "did you mean 'sora-cnn'?");
  check_training_refused(videos, {"--flip", "--flip-swap", "bras:discs"}, exit_code::kUsage, "did you mean 'bars'?");
  check_training_refused(videos, {"--device", "cuda"}, exit_code::kNoDevice, "; use --device cpu");
  write_text(folder / "train.toml", "[augment]\nfilp = true\n");
  check_training_refused(videos, {"-c", folder / "train.toml"}, exit_code::kUsage,
                         "train.toml:2:1: unknown key 'augment.filp'; did you mean 'augment.flip'?");
  check_training_refused(videos, {"-c", folder / "none.toml"}, exit_code::kNoInput, "none.toml");
  check_refused(run(folder, "engine_train", {}), exit_code::kUsage, "no data given");
}

TEST_CASE("engine_train: a place that cannot be written to is told before the first step") {
  write_text(fixture().folder() / "file", "");
  const Outcome below = fixture().train({"--out", fixture().folder() / "file/run"});
  check_refused(below, exit_code::kStorage, "cannot be made");
}

TEST_CASE("engine_train: a folder in use by another run is left alone") {
  const TemporaryFolder folder;
  const int held = open((folder / "").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(flock(held, LOCK_EX) == 0);
  check_refused(fixture().train({"--out", folder / ""}), exit_code::kRunInUse, "in use by another run");
  close(held);
}

TEST_CASE("engine_train: results that cannot be written cost an exit code, not the model") {
  const std::string out = fixture().folder() / "full";
  const std::string command = engine::test::program_folder() + "/engine_train " + fixture().videos() +
                              " --device cpu --epochs 1 --frames 1 --progress none --out " + out +
                              " >/dev/full 2>/dev/null";
  CHECK(WEXITSTATUS(std::system(command.c_str())) == exit_code::kStorage);
  CHECK(fs::exists(out + "/best.safetensors"));
}

TEST_CASE("run folder: its name comes from data and model, and is new") {
  const std::string name = engine::default_run_folder(fixture().videos() + "/", "some-model");
  CHECK(name == "runs/videos-some-model");
}

TEST_CASE("engine_train: a trained model is not overwritten unless told to") {
  const std::string before = read_text(fixture().model());
  check_refused(fixture().train({"--out", fixture().run(), "--seed", "5"}), exit_code::kUsage, "--force");
  CHECK(read_text(fixture().model()) == before);
  const std::string copy = fixture().folder() / "copy";
  fs::copy(fixture().run(), copy);
  CHECK(fixture().train({"--out", copy, "--seed", "5", "--force"}).code == exit_code::kOk);
  CHECK(read_text(copy + "/best.safetensors") != before);
}

TEST_CASE("engine_predict: eval agrees with the test at the end of training, and classify with eval") {
  const Outcome eval = fixture().predict({"eval", fixture().model(), fixture().videos(), "--json"});
  CAPTURE(eval.err);
  REQUIRE(eval.code == exit_code::kOk);
  const auto report = nlohmann::json::parse(eval.out);
  CHECK(report.at("clips") == 10);
  const Outcome classify =
      fixture().predict({"classify", fixture().model(), fixture().videos() + "/test", "--json", "--top", "10"});
  REQUIRE(classify.code == exit_code::kOk);
  std::istringstream lines(classify.out);
  int right = 0, clips = 0;
  double loss = 0;
  for (std::string line; std::getline(lines, line); ++clips) {
    const auto object = nlohmann::json::parse(line);
    const std::string truth = fs::path(object.at("file").get<std::string>()).parent_path().filename();
    right += object.at("class") == truth ? 1 : 0;
    for (const auto& each : object.at("top"))
      if (each.at("class") == truth) loss -= std::log(each.at("probability").get<double>());
  }
  CHECK(clips == 10);
  CHECK(right / 10.0 == report.at("accuracy").get<double>());
  CHECK(loss / 10.0 == doctest::Approx(report.at("loss").get<double>()).epsilon(1e-12));
  const std::string shown = last_line(fixture().trained().out);
  CHECK(shown.find(std::to_string(right / 10.0).substr(0, 5)) != std::string::npos);
}

TEST_CASE("engine_predict: a table for people, and bad files among good ones") {
  const TemporaryFolder folder;
  write_text(folder / "text.mp4", "hello");
  const Outcome outcome = fixture().predict({"classify", fixture().model(), folder / "text.mp4", a_video()});
  CHECK(outcome.code == exit_code::kData);
  CHECK(outcome.err.find("text.mp4") != std::string::npos);
  CHECK(outcome.out.starts_with("file "));
  CHECK(last_line(outcome.out).starts_with(a_video()));
  const Outcome eval = fixture().predict({"eval", fixture().model(), fixture().videos()});
  CHECK(eval.out.find("mean class recall: ") != std::string::npos);
  CHECK(eval.out.find("(predicted)") != std::string::npos);
}

TEST_CASE("clips of an evaluation that cannot be read are left out of its figures, and counted") {
  const TemporaryFolder folder;
  const auto eval = [&] { return fixture().predict({"eval", fixture().model(), folder / "videos", "--json"}); };
  fs::copy(fixture().videos(), folder / "videos", fs::copy_options::recursive);
  const std::string bad = folder / "videos/test/discs/0000.mp4";
  write_text(bad, "hello");
  const std::string told =
      "warning: 1 of 10 clips could not be read and are left out of the figures; the first: discs/";
  const Outcome with = eval();
  CHECK(with.code == exit_code::kOk);
  CHECK(with.err.starts_with("index: "));
  CHECK(with.err.substr(with.err.find('\n') + 1).starts_with(told));
  CHECK(std::ranges::count(with.err, '\n') == 2);
  CHECK(nlohmann::json::parse(with.out).at("clips") == 9);
  const Outcome trained = run(folder, "engine_train",
                              {folder / "videos", "--epochs", "1", "--frames", "1", "--json", "--out", folder / "run"});
  CHECK(trained.code == exit_code::kOk);
  CHECK(trained.err.find(told) != std::string::npos);
  CHECK(nlohmann::json::parse(last_line(trained.out)).at("clips") == 9);
  fs::remove_all(folder / "videos/test/discs");
  const Outcome without = eval();
  CHECK(without.err.empty());
  CHECK(without.out == with.out);
}

TEST_CASE("engine_predict: models that cannot be used") {
  const TemporaryFolder folder;
  check_refused(fixture().predict({"classify", folder / "none.safetensors", a_video()}), exit_code::kNoInput,
                "none.safetensors");
  std::string bytes = read_text(fixture().model());
  write_text(folder / "short.safetensors", bytes.substr(0, bytes.size() / 2));
  check_refused(fixture().predict({"classify", folder / "short.safetensors", a_video()}), exit_code::kCheckpoint,
                "short.safetensors");
  bytes[bytes.size() / 2] ^= 1;
  write_text(folder / "flipped.safetensors", bytes);
  check_refused(fixture().predict({"eval", folder / "flipped.safetensors", fixture().videos()}), exit_code::kCheckpoint,
                "flipped.safetensors");
  write_text(folder / "two/a/1.mp4", read_text(a_video()));
  write_text(folder / "two/b/1.mp4", read_text(a_video()));
  check_refused(fixture().predict({"eval", fixture().model(), folder / "two", "--split", "train"}),
                exit_code::kCheckpoint, "the data have 2 (a, b); use data with the same classes");
}

TEST_CASE("engine_predict: wrong commands") {
  const TemporaryFolder folder;
  check_refused(run(folder, "engine_predict", {"clasify"}), exit_code::kUsage, "did you mean 'classify'?");
  check_refused(run(folder, "engine_predict", {"eval", "m", "d", "--split", "tset"}), exit_code::kUsage, "tset");
}
