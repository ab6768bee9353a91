#include <doctest/doctest.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "engine/tensor.h"
#include "train/options.h"

namespace fs = std::filesystem;
using engine::Error;
using engine::OptionTable;
using engine::TrainOptions;

namespace {

struct Program {
  TrainOptions options;
  OptionTable table;
  CLI::App app;

  Program() {
    declare(table, options);
    table.bind(app);
  }
  // As the program does it: defaults, then files, then flags.
  void run(const std::string& flags, const std::string& file = "") {
    app.parse(flags);
    if (!file.empty()) table.read_file(file);
    table.apply_flags();
  }
};

class TomlFile {
 public:
  explicit TomlFile(const std::string& text) {
    folder_ = fs::temp_directory_path() / ("engine-options-" + std::to_string(getpid()));
    fs::create_directories(folder_);
    std::ofstream(path()) << text;
  }
  ~TomlFile() { fs::remove_all(folder_); }
  std::string path() const { return (folder_ / "train.toml").string(); }

 private:
  fs::path folder_;
};

// The sentence of the Error that f throws, without the folder of the file.
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == engine::exit_code::kUsage);
    const std::string sentence = error.what();
    const size_t file = sentence.find("train.toml");
    return file == std::string::npos ? sentence : sentence.substr(file);
  }
  return "nothing was thrown";
}

std::string refusal_of_file(const std::string& text) {
  const TomlFile file(text);
  return refusal([&] { Program().table.read_file(file.path()); });
}

}  // namespace

TEST_CASE("options: a flag beats the file, the file beats the default") {
  const TomlFile file("[optim]\nlr = 0.25\nbatch = 7\n");
  Program program;
  program.run("DIR --lr 0.5", file.path());
  CHECK(program.options.data == "DIR");
  CHECK(program.options.learning_rate == 0.5);
  CHECK(program.options.batch == 7);
  CHECK(program.options.epochs == TrainOptions().epochs);
}

TEST_CASE("options: every kind of value is read from flags") {
  Program program;
  program.run("DIR --flip --size 48x64 --frames 6 --optimizer sgd --normalize imagenet --workers auto --seed 12");
  const TrainOptions& o = program.options;
  CHECK(o.flip);
  CHECK(o.size == engine::FrameSize{.width = 48, .height = 64});
  CHECK(o.frames == 6);
  CHECK(o.optimizer == engine::OptimizerKind::sgd);
  CHECK(o.normalize.mean[2] == 0.406);
  CHECK(!o.workers.has_value());
  CHECK(o.seed == 12);
}

TEST_CASE("options: the loader's memory is read in MiB or GiB and written in MiB") {
  struct Case {
    std::string text;
    int64_t bytes;
    std::string written;
  };
  for (const auto& [text, bytes, written] :
       {Case{"700", 700ll << 20, "700M"}, {"37M", 37ll << 20, "37M"}, {"3G", 3ll << 30, "3072M"}}) {
    Program program;
    program.run("DIR --loader-memory " + text);
    CHECK(program.options.loader_memory == bytes);
    CHECK(program.table.to_toml().find("\nloader_memory = '" + written + "'\n") != std::string::npos);
  }
  const TomlFile file("[run]\nloader_memory = 512\n");
  Program program;
  program.run("DIR", file.path());
  CHECK(program.options.loader_memory == 512ll << 20);
  program.table.read_file(TomlFile("[run]\nloader_memory = \"auto\"\n").path());
  CHECK(!program.options.loader_memory);
}

TEST_CASE("options: a flag can be turned off again, and the last of two wins") {
  const TomlFile file("[augment]\nflip = true\n");
  Program program;
  program.run("DIR --flip=false --lr 1 --lr 2", file.path());
  CHECK(!program.options.flip);
  CHECK(program.options.learning_rate == 2);
}

TEST_CASE("options: bad values are refused with what would be right") {
  const auto refused = [](const std::string& flags) { return refusal([&] { Program().run("DIR " + flags); }); };
  CHECK(refused("--lr 0") == "--lr must be a number over 0 and at most 100, not '0'");
  CHECK(refused("--lr nan") == "--lr must be a number over 0 and at most 100, not 'nan'");
  CHECK(refused("--lr 1x") == "--lr must be a number over 0 and at most 100, not '1x'");
  CHECK(refused("--batch 0") == "--batch must be an integer from 1 to 65536, not '0'");
  CHECK(refused("--batch 2.5") == "--batch must be an integer from 1 to 65536, not '2.5'");
  CHECK(refused("--frames few") == "--frames must be an integer from 1 to 4096, or auto, not 'few'");
  CHECK(refused("--optimizer lion") == "--optimizer must be one of sgd, adam, adamw, not 'lion'");
  CHECK(refused("--size 64x") ==
        "--size must be one number, or WIDTHxHEIGHT such as 320x240, 8 to 4096, or auto, not '64x'");
  CHECK(refused("--normalize 1,2/3").starts_with("--normalize must be 0..1, "));
  CHECK(refused("--seed 99999999999999999999").starts_with("--seed must be an integer"));
  CHECK(refused("--workers 257") == "--workers must be an integer from 0 to 256, or auto, not '257'");
  for (const char* size : {"0", "-5", "M", "12K", "1025G", "2.5G", "7MB"})
    CHECK(refused(std::string("--loader-memory ") + size) ==
          engine::concat("--loader-memory must be a number of MiB such as 512, 512M or 2G, 1M to 1024G, or auto, not '",
                         size, "'"));
}

TEST_CASE("options: mistakes in a file are told with line and column") {
  CHECK(refusal_of_file("[augment]\nrotation = 3\nflip = true\n")
            .starts_with("train.toml:2:1: unknown key 'augment.rotation'"));
  CHECK(refusal_of_file("[augment]\n\nfilp = true\n") ==
        "train.toml:3:1: unknown key 'augment.filp'; did you mean 'augment.flip'?");
  CHECK(refusal_of_file("lr = 3\n") == "train.toml:1:1: unknown key 'lr'; did you mean 'optim.lr'?");
  CHECK(refusal_of_file("[optim]\nlr = -1\n") ==
        "train.toml:2:6: optim.lr must be a number over 0 and at most 100, not '-1'");
  CHECK(refusal_of_file("[optim]\nlr = [1]\n") ==
        "train.toml:2:6: optim.lr must be a number over 0 and at most 100, not a TOML array");
  CHECK(refusal_of_file("[optim]\nbatch = \"8\"\n").starts_with("train.toml:2:9: optim.batch must be an integer"));
  CHECK(refusal_of_file("[augment]\nflip = 1\n").starts_with("train.toml:2:8: augment.flip must be true or false"));
  CHECK(refusal_of_file("[optim]\nlr = 1\nlr = 2\n").starts_with("train.toml:3:"));
  CHECK(refusal_of_file("[optim\n").starts_with("train.toml:1:"));
}

TEST_CASE("options: a missing file is missing input") {
  try {
    Program().table.read_file("/no/such/file.toml");
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == engine::exit_code::kNoInput);
  }
}

TEST_CASE("options: the resolved configuration reads back as itself") {
  Program first;
  first.run(
      "'a \"quoted\" folder' --lr 0.00012345678901234 --size 48x64 --max-scale 1.5 --stride 3 --normalize "
      "0.1,0.2,0.3/0.4,0.5,0.6");
  const std::string text = first.table.to_toml();
  const TomlFile file(text);
  Program second;
  second.table.read_file(file.path());
  CHECK(second.table.to_toml() == text);
  CHECK(second.options.learning_rate == 0.00012345678901234);
  CHECK(second.options.data == "a \"quoted\" folder");
  CHECK(second.options.normalize == first.options.normalize);
  CHECK(second.options.stride == 3);
  CHECK(second.options.size == engine::FrameSize{.width = 48, .height = 64});
}

TEST_CASE("options: every option has help, and no name or key is used twice") {
  const Program program;
  std::set<std::string> flags, keys;
  for (const auto& option : program.table.options()) {
    CAPTURE(option.flag);
    CHECK(!option.help.empty());
    CHECK(flags.insert(option.flag).second);
    CHECK((option.key.empty() || keys.insert(option.key).second));
    CHECK(option.set(option.get()));
  }
}
