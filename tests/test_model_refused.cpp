// What files of models and runs cannot be, and how programs end that fail; in one line each.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <filesystem>
#include <new>
#include <thread>

#include "io/safetensors_header.h"
#include "tests/program_run.h"
#include "tests/refusals.h"
#include "tests/safetensors_files.h"
#include "tests/training_fixtures.h"
#include "train/cli.h"
#include "train/failure.h"
#include "train/npy.h"

using namespace engine;
using namespace engine::fixtures;
using engine::test::check_refusals;

namespace {

// The file of one tensor with these two entries of metadata, the second as it stands.
std::string with_checksums(const std::string& list, const std::string& header) {
  return file_with(R"({"__metadata__":{"crc32c":")" + list + R"(","crc32c_header":)" + header +
                       R"(},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                   4);
}

// The same with the right checksum of the header.
std::string with_list(const std::string& list) {
  const std::string file = with_checksums(list, R"("00000000")"), text = file.substr(8, file.size() - 12);
  const uint32_t checksum = safetensors::header_checksum(text, safetensors::find_header_checksum(text));
  return with_checksums(list, '"' + safetensors::checksum_text(checksum) + '"');
}

// What a program that does this writes to stderr, behind its exit code.
int g_fault = 0;
int fail(int, char**) {
  if (g_fault == 0) throw std::bad_alloc();
  if (g_fault == 1) throw std::system_error(std::make_error_code(std::errc::too_many_files_open), "cannot look");
  if (g_fault == 2) throw std::logic_error("a rule is broken");
  throw Error("device memory is gone", exit_code::kDeviceMemory);
}
std::pair<int, std::string> failed(int fault) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::setenv("OMP_WAIT_POLICY", "PASSIVE", 1);  // without which run_program() starts the program over
    ::dup2(::open((folder / "err").c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
    g_fault = fault;
    ::_exit(run_program("program", 0, nullptr, fail));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, program_run::read_text(folder / "err")};
}

}  // namespace

TEST_CASE("safetensors: checksums that make no sense are refused by name") {
  const TemporaryFolder folder;
  const auto reading = [&](const std::string& bytes) {
    return [&folder, bytes] {
      put(folder / "f", bytes);
      read_safetensors(folder / "f");
    };
  };
  std::filesystem::create_symlink(folder / "nothing", folder / "link");
  check_refusals({
      {reading(with_checksums("00000000", R"( "00000000")")),
       "f': header was written by another program, which should have dropped metadata 'crc32c' and 'crc32c_header'",
       exit_code::kCheckpoint},
      {reading(with_list("00000000 00000000")),
       "f': metadata 'crc32c' does not have one checksum for each of 1 tensors", exit_code::kCheckpoint},
      {reading(with_list("0000000x")), "f': checksum '0000000x' is not eight hexadecimal digits",
       exit_code::kCheckpoint},
      {[&] { read_safetensors(folder / "link"); }, "link': not a regular file (a link to nothing)",
       exit_code::kCheckpoint},
  });
}

TEST_CASE("safetensors: a header over the limit is not written") {
  const TensorFile file{{{"notes", std::string(100'000'000, 'n')}}, {}};
  check_refusals({{[&] { encode_safetensors(file); }, "safetensors: header of 1000000", exit_code::kCheckpoint}});
  check_refusals(
      {{[&] { encode_safetensors(file); }, " bytes exceeds the limit of 100000000", exit_code::kCheckpoint}});
}

// As a run that writes the file while another program reads it.
TEST_CASE("safetensors: a file that changes while it is read is refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "f";
  put(path, encode_safetensors({{}, {{"a", Tensor::zeros({1 << 16})}}}));
  std::atomic<bool> over{false};
  std::thread writer([&] {
    for (timespec time{1, 0}; !over; ++time.tv_sec) {
      const timespec times[2] = {time, time};
      ::utimensat(AT_FDCWD, path.c_str(), times, 0);
    }
  });
  const auto read_until_it_changes = [&] {
    for (int i = 0; i < 10000; ++i) read_safetensors(path);
  };
  check_refusals({{read_until_it_changes, "f': file changed while reading", exit_code::kCheckpoint}});
  over = true;
  writer.join();
}

TEST_CASE("run state: moments of another shape, and of weights that are not there, are refused by name") {
  Classifier classifier(description(3));
  TrainerOptions options = constant_rate(0.1);
  Trainer trainer(classifier, options);
  const std::vector<NamedTensor> weights = trainer.file().tensors;
  const auto restoring = [&](const std::function<void(std::vector<NamedTensor>&)>& change) {
    return [&, change] {
      TrainerState state = trainer.state();
      REQUIRE(!state.moments.empty());
      change(state.moments);
      trainer.restore(weights, state, "checkpoint 'f'");
    };
  };
  const std::string name = trainer.state().moments.front().name;
  check_refusals({
      {restoring([](std::vector<NamedTensor>& moments) {
         moments[0].tensor = Tensor::zeros({2, 3});
       }),
       "checkpoint 'f': model needs '" + name + "' [", exit_code::kCheckpoint},
      {restoring([](std::vector<NamedTensor>& moments) {
         moments[0].tensor = Tensor::zeros({2, 3});
       }),
       "file has [2,3] F32; 0 missing, 0 extra, 1 of another shape or type", exit_code::kCheckpoint},
      {restoring([](std::vector<NamedTensor>& moments) { moments[0].name = "first_moment.none"; }),
       "1 missing, 1 extra, 0 of another shape or type", exit_code::kCheckpoint},
      {restoring([](std::vector<NamedTensor>& moments) { moments.clear(); }), "file has none", exit_code::kCheckpoint},
  });
}

TEST_CASE("models: texts and options that make no sense are refused") {
  ModelFile latin = description(2), dropout = description(2), described = normed(description(2));
  latin.classes[1] = "caf\xe9";
  dropout.model_options["dropout"] = "much";
  described.model_options["drop_path"] = "0.1";
  check_refusals({
      {[&] { to_tensor_file(latin); }, "model file: a class name or an option is not UTF-8; rename it",
       exit_code::kCheckpoint},
      {[&] { make_network(dropout); }, "model option dropout must be a number, not 'much'", exit_code::kCheckpoint},
      {[&] { make_network(described); }, "model 'small' is described layer by layer and has no paths to drop",
       exit_code::kUsage},
      {[] { encode_npy(Tensor::zeros({2}, DType::bf16)); }, "npy: numpy has no type for bf16", exit_code::kInternal},
  });
}

TEST_CASE("a training that fails tells what it takes, and what there is to go on from") {
  const TemporaryFolder folder;
  Classifier classifier(description(2));
  const Trainer trainer(classifier, constant_rate(0.1));
  const TrainOptions options;
  RunCheckpoints checkpoints(options, folder.path(), trainer, {});
  const MemoryPlan plan{.weights = 5 << 20, .clips = 8};
  const auto failing = [&](auto what) {
    return [&, what] {
      try {
        throw what;
      } catch (const std::exception&) {
        throw_with_advice(plan, 2, folder.path(), checkpoints);
      }
    };
  };
  check_refusals({
      {failing(std::bad_alloc()), "out of memory; the run takes weights 5.0 MiB", exit_code::kMemory},
      {failing(std::bad_alloc()), "; try --batch 4 --accumulate 4", exit_code::kMemory},
      {failing(Error("no room", exit_code::kDeviceMemory)), "no room; the run takes weights 5.0 MiB",
       exit_code::kDeviceMemory},
      {failing(Error("the loss is nan", exit_code::kNotFinite)), "the loss is nan; there is no checkpoint yet",
       exit_code::kNotFinite},
      {failing(Error("full", exit_code::kStorage)), "full", exit_code::kStorage},
  });
}

TEST_CASE("programs: what ends them is one line and a code of the contract") {
  CHECK(failed(0) == std::pair{exit_code::kMemory,
                               std::string("program: error: out of memory; close other programs or ask for less\n")});
  CHECK(failed(1) == std::pair{exit_code::kMemory, std::string("program: error: cannot look: Too many open files\n")});
  CHECK(failed(2) ==
        std::pair{exit_code::kInternal, std::string("program: error: internal error: a rule is broken\n")});
  CHECK(failed(3) == std::pair{exit_code::kDeviceMemory, std::string("program: error: device memory is gone\n")});
}
