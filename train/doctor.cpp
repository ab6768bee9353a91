#include "train/doctor.h"

#include <fmt/format.h>
#include <sys/sysinfo.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "io/video.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string vector_instructions() {
  std::string names;
#if defined(__x86_64__)
  const auto note = [&](bool there, const char* name) { names += there ? std::string(" ") + name : ""; };
  note(__builtin_cpu_supports("avx2"), "avx2");
  note(__builtin_cpu_supports("fma"), "fma");
  note(__builtin_cpu_supports("avx512f"), "avx512f");
  note(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
  note(__builtin_cpu_supports("avx512bf16"), "avx512bf16");
#endif
  return names.empty() ? "none known" : names.substr(1);
}

std::string memory() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return "unknown";
  return fmt::format("{:.1f} GiB", static_cast<double>(info.totalram) * info.mem_unit / kGiB);
}

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

std::string doctor_report(const TrainOptions& options) {
  const auto line = [](const char* name, const std::string& value) { return fmt::format("{:<10} {}\n", name, value); };
  return line("processor", processor()) + line("vectors", vector_instructions()) +
         line("threads", fmt::format("{} of {} cores", cpu_threads(), std::thread::hardware_concurrency())) +
         line("memory", memory()) + line("cuda", cuda()) + line("onednn", onednn_version()) +
         line("ffmpeg", ffmpeg_version()) + line("output", free_space(options.out.empty() ? "runs" : options.out));
}

}  // namespace engine
