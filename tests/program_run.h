// Runs the built programs and looks at what they leave behind.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "io/video.h"
#include "tests/places.h"
#include "tests/temporary_folder.h"
#include "train/data_make.h"

namespace program_run {

namespace fs = std::filesystem;

using engine::TemporaryFolder;

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void write_text(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// A small set of synthetic videos: train/ and test/ with ten classes.
inline void make_videos(const std::string& folder, int train = 2, int test = 1, int side = 32) {
  engine::DataMakeOptions options;
  options.out = folder;
  options.train = train;
  options.test = test;
  options.width = options.height = side;
  options.frames = 4;
  options.decoded = !engine::video_available();
  engine::make_data(options, [](int, int) { return true; });
}

struct Outcome {
  int code = -1;  // the exit code; minus the number of the signal that killed it
  std::string out, err;
};

// Whether programs see the machine's CUDA devices; what the suites expect is what the CPU gives.
inline bool with_cuda_devices = false;
// The same for a program that a shell starts, before its name.
inline constexpr const char* kWithoutCuda = "CUDA_VISIBLE_DEVICES= ";

// A program under way, with its output going to files.
class Process {
 public:
  Process(const TemporaryFolder& scratch, const std::string& program, const std::vector<std::string>& arguments)
      : out_(scratch / (program + ".out")), err_(scratch / (program + ".err")) {
    std::vector<std::string> words = {engine::test::program_folder() + "/" + program};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ != 0) return;
    if (!with_cuda_devices) setenv("CUDA_VISIBLE_DEVICES", "", 1);
    redirect(out_, STDOUT_FILENO);
    redirect(err_, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  std::string out() const { return read_text(out_); }
  // Waits until the program has written `text` to stdout; false when it ended before or a minute went by.
  bool wait_for(const std::string& text) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (std::chrono::steady_clock::now() < deadline) {
      if (out().find(text) != std::string::npos) return true;
      siginfo_t info{};
      waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
      if (info.si_pid != 0) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  Outcome finish() const {
    int status = 0;
    REQUIRE(waitpid(pid_, &status, 0) == pid_);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), out(), read_text(err_)};
  }

 private:
  static void redirect(const std::string& file, int descriptor) {
    const int opened = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(opened, descriptor);
  }

  std::string out_, err_;
  pid_t pid_ = -1;
};

inline Outcome run(const TemporaryFolder& scratch, const std::string& program,
                   const std::vector<std::string>& arguments) {
  return Process(scratch, program, arguments).finish();
}

inline Outcome engine_data(const TemporaryFolder& scratch, const std::vector<std::string>& arguments) {
  return run(scratch, "engine_data", arguments);
}

}  // namespace program_run
