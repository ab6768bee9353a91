#include "train/doctor.h"

#include <fmt/format.h>

#include <filesystem>
#include <thread>

#include "io/video.h"
#include "train/environment.h"
#include "train/output.h"
#include "train/self_test.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

// The nearest folder above `path` that exists.
fs::path existing_folder(fs::path path) {
  std::error_code ignored;
  path = fs::absolute(path, ignored);
  while (!fs::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

std::string free_space(const std::string& folder) {
  std::error_code error;
  const fs::path place = existing_folder(folder);
  const fs::space_info space = fs::space(place, error);
  if (error) return error.message();
  return fmt::format("{:.1f} GiB free at {}", static_cast<double>(space.available) / kGiB, place.string());
}

std::string cuda() {
  const std::string reason = cuda_unavailable_reason();
  return reason.empty() ? "available" : "no: " + reason;
}

}  // namespace

int run_doctor(const TrainOptions& options) {
  const auto line = [](const std::string& name, const std::string& value) {
    print_out(fmt::format("{:<10} {}\n", name, value));
  };
  line("engine", engine_version());
  line("processor", processor_name());
  line("vectors", vector_instructions());
  line("threads", fmt::format("{} of {} cores", cpu_threads(), std::thread::hardware_concurrency()));
  line("memory", fmt::format("{:.1f} GiB", memory_gib()));
  line("cuda", cuda());
  line("onednn", onednn_version());
  line("ffmpeg", ffmpeg_version());
  if (video_available()) line("codecs", joined(decodable_codecs()));
  line("output", free_space(options.out.empty() ? "runs" : options.out));
  const Device device = resolve(options.device);
  bool passed = true;
  for (const SelfCheck& check : self_test(device)) {
    line("test",
         fmt::format("{} {} on {}: {}", check.passed ? "passed" : "FAILED", check.name, concat(device), check.found));
    passed = passed && check.passed;
  }
  if (!passed) print_err("a test failed: results of this machine cannot be trusted; please report the lines above\n");
  return passed ? exit_code::kOk : exit_code::kInternal;
}

}  // namespace engine
