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

}  // namespace engine::test
