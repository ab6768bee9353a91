#include "train/environment.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "io/video.h"

namespace engine {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

std::string compiler() {
#if defined(__clang__)
  return concat("clang ", __clang_version__);
#else
  return concat("g++ ", __VERSION__);
#endif
}

std::string operating_system() {
  struct utsname names {};
  return ::uname(&names) == 0 ? concat(names.sysname, " ", names.release, " ", names.machine) : "unknown";
}

std::string shell_quoted(const std::string& word) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string text = "'";
  for (const char each : word) text += each == '\'' ? std::string("'\\''") : std::string(1, each);
  text += '\'';
  return text;
}

}  // namespace

std::string processor_name() {
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

std::string engine_version() {
  const std::string commit = ENGINE_COMMIT;
  return std::string(ENGINE_VERSION) + (commit.empty() ? "" : " (" + commit + ")");
}

double memory_gib() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return NAN;
  return static_cast<double>(info.totalram) * info.mem_unit / kGiB;
}

std::string environment_json(const std::string& device, int64_t threads) {
  nlohmann::ordered_json object = {{"engine", ENGINE_VERSION}};
  if (const std::string commit = ENGINE_COMMIT; !commit.empty()) object["commit"] = commit;
  object.update({{"compiler", compiler()},
                 {"system", operating_system()},
                 {"processor", processor_name()},
                 {"vector_instructions", vector_instructions()},
                 {"cores", std::thread::hardware_concurrency()},
                 {"threads", threads},
                 {"memory_gib", std::round(10 * memory_gib()) / 10},
                 {"device", device}});
  const std::string without_cuda = cuda_unavailable_reason();
  object.update({{"cuda", without_cuda.empty() ? "available" : concat("no: ", without_cuda)},
                 {"onednn", onednn_version()},
                 {"ffmpeg", ffmpeg_version()}});
  return object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text;
  for (std::string word; std::getline(file, word, '\0');) {
    if (!text.empty()) text += ' ';
    text += shell_quoted(word);
  }
  return text;
}

}  // namespace engine
