#include "io/file_ends.h"

#include <fcntl.h>

#include <algorithm>

#include "io/crc32c.h"
#include "io/descriptor.h"

namespace engine {

uint64_t file_ends(const std::string& path, int64_t bytes) {
  constexpr size_t kEnd = 64 * 1024;
  Descriptor file;
  if (!file.open(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }))) return 0;
  std::string end(kEnd, '\0');
  const auto crc_at = [&](int64_t begin) {
    const ssize_t count = retry([&] { return ::pread(file.get(), end.data(), end.size(), begin); });
    return uint64_t{crc32c(std::string_view(end).substr(0, count > 0 ? static_cast<size_t>(count) : 0))};
  };
  return crc_at(0) | crc_at(std::max<int64_t>(bytes - static_cast<int64_t>(kEnd), 0)) << 32;
}

}  // namespace engine
