// Where the tests find what they run and read. Both may have been moved since the build, as in a bundle.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace engine::test {

// The folder of the built programs: this one's own.
inline std::string program_folder() { return std::filesystem::read_symlink("/proc/self/exe").parent_path().string(); }

// The folder of the sources, or the one named by ENGINE_SOURCE_DIR.
inline std::string source_folder() {
  const char* given = std::getenv("ENGINE_SOURCE_DIR");
  return given != nullptr ? given : ENGINE_SOURCE_DIR;
}

// The folder of real videos: the one named by ENGINE_REAL_DATA, or that beside the sources. It may not be there.
inline std::string real_data() {
  const char* given = std::getenv("ENGINE_REAL_DATA");
  return given != nullptr ? given : source_folder() + "/../shared/data";
}

}  // namespace engine::test
