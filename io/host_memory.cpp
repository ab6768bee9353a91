#include "io/host_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

namespace engine {
namespace {

constexpr int64_t kKiB = 1024;

// The number in a file of one; `otherwise` where there is none ("max").
int64_t number_in(const std::filesystem::path& file, int64_t otherwise) {
  int64_t value = 0;
  return std::ifstream(file) >> value ? value : otherwise;
}

// The number behind a name in a file of lines such as "MemAvailable:  7912 kB".
int64_t number_after(const std::string& name, const std::filesystem::path& file, int64_t otherwise) {
  std::ifstream lines(file);
  for (std::string word; lines >> word;)
    if (int64_t value = 0; word == name && lines >> value) return value;
  return otherwise;
}

// Calls f for the control group of this process and those around it: with its folder, and whether it is of version 2. A
// container sees its own as the root.
void visit_groups(const std::function<void(const std::filesystem::path& folder, bool unified)>& f) {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const bool unified = line.starts_with("0::");
    const size_t memory = line.find(":memory:");
    if (!unified && memory == std::string::npos) continue;
    const std::string root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    std::string group = line.substr(unified ? 3 : memory + std::strlen(":memory:"));
    for (;; group.resize(group.rfind('/'))) {
      f(root + group, unified);
      if (group.find('/') == std::string::npos) break;
    }
  }
}

int64_t limit_of(const std::filesystem::path& group, bool unified) {
  return number_in(group / (unified ? "memory.max" : "memory.limit_in_bytes"), INT64_MAX);
}

// Of addresses, as ulimit -v sets it.
int64_t address_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur < INT64_MAX ? static_cast<int64_t>(limit.rlim_cur)
                                                                           : INT64_MAX;
}

}  // namespace

int64_t host_memory() {
  int64_t limit = std::min(int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE), address_limit());
  visit_groups([&](const auto& group, bool unified) { limit = std::min(limit, limit_of(group, unified)); });
  return limit;
}

int64_t free_host_memory() {
  int64_t free = number_after("MemAvailable:", "/proc/meminfo", host_memory() / kKiB) * kKiB;
  visit_groups([&](const auto& group, bool unified) {
    const int64_t limit = limit_of(group, unified);
    if (limit == INT64_MAX) return;
    const int64_t used = number_in(group / (unified ? "memory.current" : "memory.usage_in_bytes"), 0);
    const int64_t files = number_after(unified ? "inactive_file" : "total_inactive_file", group / "memory.stat", 0);
    free = std::min(free, limit - used + files);
  });
  if (const int64_t limit = address_limit(); limit < INT64_MAX)
    free = std::min(free, limit - number_in("/proc/self/statm", 0) * ::sysconf(_SC_PAGESIZE));
  return std::max<int64_t>(free, 0);
}

}  // namespace engine
