// Internal to io/: the system calls that the atomic writer makes on its file, in a table so that a test can make each
// of them fail.
#pragma once

#include <sys/types.h>

namespace engine {

struct FileCalls {
  ssize_t (*write)(int file, const void* bytes, size_t count);
  ssize_t (*read)(int file, void* bytes, size_t count);
  int (*fsync)(int file_or_folder);
  int (*renameat)(int from_folder, const char* from, int to_folder, const char* to);
};

// The system's own, until a test replaces one; no file may be written meanwhile.
FileCalls& file_calls();

}  // namespace engine
