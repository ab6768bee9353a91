#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "io/dataset.h"
#include "io/frame_source.h"
#include "io/synthetic.h"
#include "tests/places.h"
#include "tests/temporary_folder.h"
#include "train/cli.h"

namespace fs = std::filesystem;
using namespace engine;

namespace {

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

struct Result {
  int code = -1;
  std::string out, err;
};

// Runs the built program; `arguments` go through the shell.
Result engine_data(const std::string& arguments) {
  const TemporaryFolder folder;
  const std::string command =
      engine::test::program_folder() + "/engine_data " + arguments + " >" + folder / "out" + " 2>" + folder / "err";
  const int status = std::system(command.c_str());
  REQUIRE(WIFEXITED(status));
  return {WEXITSTATUS(status), text_of(folder / "out"), text_of(folder / "err")};
}

// Every file below `folder` with its bytes, sorted by name.
std::vector<std::pair<std::string, std::string>> contents(const fs::path& folder) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.emplace_back(fs::relative(entry.path(), folder).string(), text_of(entry.path()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Exit code, one line on stderr that starts with the program's name and holds `part`, and nothing on stdout.
void check_refused(const Result& result, int code, const std::string& part) {
  INFO(result.err);
  CHECK(result.code == code);
  CHECK(result.out.empty());
  CHECK(result.err.starts_with("engine_data: error: "));
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK(contains(result.err, part));
}

const std::string kSmall = " --train 2 --test 1 --size 32 --frames 3 ";

}  // namespace

TEST_CASE("make writes a folder per class and says what to do next") {
  const TemporaryFolder folder;
  const std::string out = folder / "set";
  const Result result = engine_data("make " + out + kSmall + "--kind motion");
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(result.out == out + "/train\t20 clips\t10 classes\n" + out + "/test\t10 clips\t10 classes\n");
  CHECK(contains(result.err, "engine_train " + out + " --model sora-cnn --input rgb+diff"));
  CHECK_FALSE(contains(result.err, "\r"));
  const auto files = contents(out);
  CHECK(files.size() == 30);
  CHECK(files.front().first == "test/bounce/0000.mp4");
  CHECK(files.back().first == "train/zigzag/0001.mp4");
}

TEST_CASE("speed and pairs come with lists of numbers and of labels") {
  const TemporaryFolder folder;
  const std::string out = folder / "set", kind = "--decoded --seed 4 --kind ";
  const Result speed = engine_data("make " + out + kSmall + kind + "speed --fps 10");
  INFO(speed.err);
  REQUIRE(speed.code == 0);
  CHECK(speed.out == out + "/train.txt\t2 clips\t1 target\n" + out + "/test.txt\t1 clips\t1 target\n");
  CHECK(contains(speed.err, " --input rgb+diff --head regression\n"));
  const double per_second = 10 * synthetic_speed({SyntheticKind::speed, 0, 4, SyntheticSet::train, 1});
  const Splits numbers = open_splits(out, {.val_fraction = 0, .head = Head::regression});
  CHECK(numbers.train.classes == std::vector<std::string>{"speed"});
  CHECK(numbers.train.samples.at(1).name == "train/speed/0001.frames");
  CHECK(numbers.train.samples.at(1).targets.at(0) == doctest::Approx(per_second).epsilon(1e-5));
  CHECK(numbers.test.samples.size() == 1);

  // --force takes the lists of an earlier make away, and no other list.
  REQUIRE(engine_data("make " + out + kSmall + kind + "pairs --force").code == 0);
  CHECK_FALSE(fs::exists(out + "/train/speed"));
  const Splits labels = open_splits(out, {.val_fraction = 0, .head = Head::multilabel});
  CHECK(labels.train.samples.size() == 20);
  for (const Sample& sample : labels.train.samples) CHECK(std::ranges::count(sample.targets, 1.0) == 2);
  CHECK(labels.test.samples.at(7).name == "test/rings/0000.frames");
  CHECK(labels.test.samples.at(7).targets.at(7) == 1);
  REQUIRE(engine_data("make " + folder / "again" + kSmall + kind + "pairs --threads 3").code == 0);
  CHECK(contents(folder / "again") == contents(out));
  REQUIRE(engine_data("make " + out + kSmall + kind + "scenes --force").code == 0);
  CHECK(contents(out).size() == 30);
  write_text(out + "/test.txt", "mine\n");
  check_refused(engine_data("make " + out + kSmall + "--force"), exit_code::kUsage, "test.txt is a list that was not");
  CHECK(contents(out).size() == 31);
}

TEST_CASE("a size is width by height") {
  const TemporaryFolder folder;
  const Result result = engine_data("make " + folder / "set" + " --train 1 --test 1 --frames 2 --size 48x32");
  REQUIRE(result.code == 0);
  CHECK(contains(result.err, " 48x32, "));
  CHECK(open_frames(folder / "set/train/bars/0000.mp4")->size() == FrameSize{.width = 48, .height = 32});
}

TEST_CASE("--decoded stores the frames as they were drawn") {
  const TemporaryFolder folder;
  const std::string format = " --train 2 --test 1 --size 48x32 --frames 3 --seed 5 ", out = folder / "decoded";
  REQUIRE(engine_data("make " + out + format + "--decoded").code == 0);
  CHECK(contents(out).size() == 30);
  const SyntheticKind kind = SyntheticKind::scenes;
  const SyntheticClip drawn({kind, 3, 5, SyntheticSet::train, 1}, 48, 32);
  const auto clip = open_frames(out + "/train/" + std::string(synthetic_classes(kind)[3]) + "/0001.frames");
  REQUIRE(clip->frame_count() == 3);
  REQUIRE(clip->size() == FrameSize{.width = 48, .height = 32});
  std::vector<uint8_t> got(clip->size().bytes()), expected(got.size());
  for (const int64_t index : {2, 0, 1}) {
    drawn.draw(static_cast<int>(index), expected);
    clip->read_frames(std::vector<int64_t>{index}, {}, got);
    CHECK(got == expected);
  }
  REQUIRE(engine_data("make " + out + format + "--force").code == 0);  // takes the decoded clips away
  CHECK(contents(out).size() == 30);
}

TEST_CASE("the same seed gives the same bytes with any number of threads, another seed others") {
  const TemporaryFolder folder;
  const auto make = [&](const std::string& name, const std::string& flags) {
    REQUIRE(engine_data("make " + folder / name + kSmall + flags).code == 0);
    return contents(folder / name);
  };
  const auto one = make("one", "--seed 7 --threads 1");
  CHECK(one == make("four", "--seed 7 --threads 4"));
  const auto other = make("other", "--seed 8");
  REQUIRE(other.size() == one.size());
  for (size_t i = 0; i < one.size(); ++i) CHECK(one[i].second != other[i].second);
}

TEST_CASE("a larger set begins with the smaller one") {
  const TemporaryFolder folder;
  const std::string format = " --size 32 --frames 3 ";
  REQUIRE(engine_data("make " + folder / "small" + format + "--train 1 --test 1").code == 0);
  REQUIRE(engine_data("make " + folder / "large" + format + "--train 3 --test 2").code == 0);
  for (const auto& [name, bytes] : contents(folder / "small")) CHECK(text_of(folder / ("large/" + name)) == bytes);
}

TEST_CASE("a folder with something in it is refused; --force replaces clips and nothing else") {
  const TemporaryFolder folder;
  const std::string out = folder / "set", make = "make " + out + kSmall;
  REQUIRE(engine_data(make + "--kind motion").code == 0);
  write_text(out + "/notes.txt", "mine");
  write_text(out + "/train/left/.tmp-0007.mp4", "left behind");
  const auto before = contents(out);
  check_refused(engine_data(make), exit_code::kUsage,
                "set is not empty; choose another folder, or give --force to replace its clips");
  CHECK(contents(out) == before);

  REQUIRE(engine_data(make + "--force").code == 0);
  CHECK(contents(out).size() == 20 + 10 + 1);
  CHECK(text_of(out + "/notes.txt") == "mine");
  CHECK_FALSE(fs::exists(out + "/train/left"));

  write_text(out + "/train/bars/mine.mp4", "mine");
  const auto mixed = contents(out);
  check_refused(engine_data(make + "--force"), exit_code::kUsage,
                "mine.mp4 is not a clip made by engine_data; move it away or choose another folder");
  CHECK(contents(out) == mixed);
}

TEST_CASE("what cannot be written to is a storage error") {
  const TemporaryFolder folder;
  write_text(folder / "file", "text");
  check_refused(engine_data("make " + folder / "file/set" + kSmall), exit_code::kStorage,
                "file/set/train/bars: Not a directory; choose a folder that can be written to");
  check_refused(engine_data("make " + folder / "file" + kSmall), exit_code::kUsage,
                "file is not a folder; choose another name");
  const Result full = engine_data("--version >/dev/full 2>&1; exit $?; true");
  CHECK(full.code == exit_code::kStorage);
  engine_data("--version >/dev/full 2>" + folder / "told" + "; exit $?; true");
  CHECK(text_of(folder / "told") ==
        "engine_data: error: standard output cannot be written to; the results there are not complete\n");
}

TEST_CASE("mistakes on the command line are told in one line with the nearest name") {
  const TemporaryFolder folder;
  const std::string make = "make " + folder / "set" + " ";
  check_refused(engine_data(""), exit_code::kUsage, "no command given (commands: ");
  check_refused(engine_data("mkae x"), exit_code::kUsage, "unknown command 'mkae'; did you mean 'make'? (commands: ");
  check_refused(engine_data("--verison"), exit_code::kUsage, "did you mean '--version'?");
  check_refused(engine_data("make"), exit_code::kUsage, "OUT is required");
  check_refused(engine_data(make + "--trian 3"), exit_code::kUsage,
                "unknown flag --trian; did you mean '--train'?; see engine_data make --help\n");
  check_refused(engine_data(make + "--fraems=3"), exit_code::kUsage, "unknown flag --fraems; did you mean '--frames'?");
  check_refused(engine_data(make + "more"), exit_code::kUsage, "unexpected argument 'more'");
  check_refused(engine_data(make + "--kind scene"), exit_code::kUsage,
                "--kind scene: no such kind; did you mean 'scenes'? (kinds: ");
  check_refused(engine_data(make + "--kind x"), exit_code::kUsage, "(kinds: scenes, motion, speed, pairs)");
  check_refused(engine_data(make + "--train"), exit_code::kUsage, "--train");
  check_refused(engine_data(make + "--train many"), exit_code::kUsage, "many");
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("numbers that make no sense are refused before anything is written") {
  const TemporaryFolder folder;
  const std::string make = "make " + folder / "set" + " ";
  for (const std::string flag : {"--train 0", "--train -4", "--train 99999999999999999999", "--test 0", "--frames 0",
                                 "--fps 0", "--threads -1", "--size 65", "--size 8", "--size 64x", "--size x64",
                                 "--size 64x64x3", "--size 64.5", "--size 9999999999", "--seed -1"}) {
    check_refused(engine_data(make + flag), exit_code::kUsage, flag.substr(0, flag.find(' ')));
  }
  const std::string sides = " makes no sense; both sides must be even, 16 to 4096";
  check_refused(engine_data(make + "--fps 1001"), exit_code::kUsage, "--fps 1001 makes no sense; give 1 to 1000");
  check_refused(engine_data(make + "--size 65"), exit_code::kUsage, "--size 65x65" + sides);
  check_refused(engine_data(make + "--size 64x"), exit_code::kUsage,
                "--size 64x: give one number, or WIDTHxHEIGHT such as 320x240; even, 16 to 4096");
  check_refused(engine_data(make + "--seed -1"), exit_code::kUsage, "--seed -1 makes no sense; give 0 or more");
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("help starts with examples, and the version has one line") {
  for (const std::string arguments : {"--help", "make --help"}) {
    const Result help = engine_data(arguments);
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    CHECK(help.out.find("Examples:") < help.out.find("Usage:"));
  }
  const Result version = engine_data("--version");
  CHECK(version.code == 0);
  CHECK(version.out.starts_with("engine_data "));
  CHECK(std::count(version.out.begin(), version.out.end(), '\n') == 1);
}

TEST_CASE("a signal stops between clips, and every clip that is there is whole") {
  for (const auto& [signal, code] :
       {std::pair{SIGINT, exit_code::kInterrupted}, std::pair{SIGTERM, exit_code::kStopped}}) {
    const TemporaryFolder folder;
    const std::string program = engine::test::program_folder() + "/engine_data", out = folder / "set";
    const pid_t child = fork();
    if (child == 0) {
      (void)!freopen((folder / "err").c_str(), "w", stderr);
      execl(program.c_str(), "engine_data", "make", out.c_str(), "--train", "100000", "--seed", "3", nullptr);
      _exit(127);
    }
    int status = 0;
    while (!fs::exists(out + "/train/bars/0001.mp4") && waitpid(child, &status, WNOHANG) == 0) usleep(1000);
    kill(child, signal);
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == code);
    CHECK(contains(text_of(folder / "err"), "run it again with --force"));
    REQUIRE(engine_data("make " + folder / "whole" + " --train 2 --test 1 --seed 3").code == 0);
    CHECK(text_of(out + "/train/bars/0001.mp4") == text_of(folder / "whole/train/bars/0001.mp4"));
    for (const auto& [name, bytes] : contents(out)) CHECK(!contains(name, ".tmp-"));
  }
}

TEST_CASE("the nearest name is the one a slip away, or none") {
  const std::vector<std::string> names{"train", "test", "frames", "fps"};
  CHECK(nearest_name("trian", names) == "train");
  CHECK(nearest_name("tst", names) == "test");
  CHECK(nearest_name("frame", names) == "frames");
  CHECK(nearest_name("fsp", names) == "fps");
  CHECK(nearest_name("banana", names).empty());
  CHECK(nearest_name("", names).empty());
  CHECK(nearest_name("test", {}).empty());
  CHECK(did_you_mean("trian", names) == "; did you mean 'train'?");
  CHECK(did_you_mean("banana", names).empty());
}
