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
}

}  // namespace engine::test
