// A folder for files that nobody keeps.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "engine/tensor.h"

namespace engine {

// A new folder where the system keeps temporary files; it goes with the object.
class ScratchFolder {
 public:
  // Throws Error (kStorage) where none can be made.
  ScratchFolder() {
    std::error_code missing;
    const std::filesystem::path place = std::filesystem::temp_directory_path(missing);
    std::string name = (place / "engine_XXXXXX").string();
    if (missing || mkdtemp(name.data()) == nullptr)
      throw Error("no folder for temporary files can be made; set TMPDIR to a place that can be written to",
                  exit_code::kStorage);
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace engine
