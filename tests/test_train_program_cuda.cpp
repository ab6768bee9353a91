// engine_train on CUDA: on a GPU, or on the CPU in the build with ENGINE_CUDA=HOST.
#include "tests/cuda_device.h"
#include "tests/program_run.h"

using namespace program_run;

namespace engine::test {

TEST_CASE("engine_train: on a CUDA device where there is one, and its model is any other's") {
  if (!have_device()) return;
  const TemporaryFolder folder;
  make_videos(folder / "videos");
  // Three steps: two to warm up, and one that is recorded.
  const std::vector<std::string> flags = {folder / "videos", "--max-steps", "3",          "--batch", "2",
                                          "--frames",        "1",           "--progress", "none"};
  const auto train = [&](std::vector<std::string> more) {
    more.insert(more.begin(), flags.begin(), flags.end());
    return program_run::run(folder, "engine_train", more);
  };
  with_cuda_devices = true;
  const Outcome cuda = train({"--out", folder / "cuda"});
  with_cuda_devices = false;
  CAPTURE(cuda.err);
  CHECK(cuda.code == 0);
  CHECK(cuda.err.find("cuda:0, bf16") != std::string::npos);

  // No device: automatic falls back to the CPU and says why.
  const Outcome fallback = train({"--out", folder / "cpu"});
  CHECK(fallback.code == 0);
  CHECK(fallback.err.find("cpu (no CUDA: ") != std::string::npos);

  CHECK(!fs::exists(folder / "cpu/plans.txt"));

  const Outcome evaluated =
      program_run::run(folder, "engine_predict", {"eval", folder / "cuda/best.safetensors", folder / "videos"});
  CAPTURE(evaluated.err);
  CHECK(evaluated.code == 0);
  CHECK(evaluated.out.find("test clips: 10") != std::string::npos);

  // On the device, in f32, about the same probabilities; all but the first two clips by a recorded pass.
  const auto probabilities = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"classify", folder / "cuda/best.safetensors"});
    arguments.insert(arguments.end(), {"--json", "--precision", "f32"});
    const Outcome outcome = program_run::run(folder, "engine_predict", arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.code == 0);
    std::vector<double> values;
    for (size_t at = outcome.out.find("\"probability\":"); at != std::string::npos;
         at = outcome.out.find("\"probability\":", outcome.out.find('\n', at)))
      values.push_back(std::stod(outcome.out.substr(at + 14)));
    return values;
  };
  const std::string clips = folder / "videos/test";
  const std::vector<double> cpu = probabilities({clips, "--device", "cpu"});
  with_cuda_devices = true;
  const std::vector<double> all = probabilities({clips, "--device", "cuda"});
  with_cuda_devices = false;
  REQUIRE(all.size() == 10);
  REQUIRE(cpu.size() == 10);
  for (size_t i = 0; i < all.size(); ++i) CHECK(std::abs(all[i] - cpu[i]) < 1e-4);
}

TEST_CASE("engine_train: --tune chooses plans, --plans repeats them, to the byte, or refuses") {
  if (!have_device()) return;
  const TemporaryFolder folder;
  make_videos(folder / "videos");
  const auto train = [&](std::vector<std::string> more) {
    const std::vector<std::string> flags = {
        folder / "videos", "--max-steps", "2",      "--batch", "2",      "--frames", "1",
        "--progress",      "none",        "--size", "16",      "--force"};
    more.insert(more.begin(), flags.begin(), flags.end());
    return program_run::run(folder, "engine_train", more);
  };
  with_cuda_devices = true;
  const Outcome plain = train({"--out", folder / "plain"}), tuned = train({"--tune", "--out", folder / "tuned"});
  CAPTURE(tuned.err);
  REQUIRE(plain.code == 0);
  REQUIRE(tuned.code == 0);
  const std::string heuristic = read_text(folder / "plain/plans.txt"), plans = read_text(folder / "tuned/plans.txt");
  CHECK(plans.starts_with("plans for "));
  CHECK(plans.find("conv2d forward") != plans.npos);
  CHECK(plans.find("matmul: ") != plans.npos);
  CHECK(plans.ends_with("end of plans\n"));
  CHECK(plans != heuristic);

  const Outcome again = train({"--plans", folder / "tuned/plans.txt", "--out", folder / "again"});
  CAPTURE(again.err);
  REQUIRE(again.code == 0);
  CHECK(read_text(folder / "again/plans.txt") == plans);
  CHECK(read_text(folder / "again/last.safetensors") == read_text(folder / "tuned/last.safetensors"));

  write_text(folder / "other.txt", "plans for another device" + plans.substr(plans.find(',')));
  const Outcome other = train({"--plans", folder / "other.txt", "--out", folder / "other"});
  with_cuda_devices = false;
  CHECK(other.code == exit_code::kCheckpoint);
  CHECK(other.err.find("other.txt: plans: expected 'plans for ") != std::string::npos);
  CHECK(!fs::exists(folder / "other"));

  const Outcome cpu = train({"--plans", folder / "tuned/plans.txt", "--out", folder / "other"});
  CHECK(cpu.code == exit_code::kCheckpoint);
  CHECK(cpu.err.find("the CPU has none") != std::string::npos);

  // A run on the CPU in the same folder leaves no plans of the one before.
  CHECK(train({"--tune", "--out", folder / "tuned"}).code == 0);
  CHECK(!fs::exists(folder / "tuned/plans.txt"));
}

}  // namespace engine::test
