// How much memory this machine, or its share for this process, has.
#pragma once

#include <cstdint>

namespace engine {

// Bytes that the process may use: the machine's, or what Linux's control groups or a limit of addresses (ulimit -v)
// allow of it where that is less.
int64_t host_memory();
// Bytes of it that nobody uses now, the caches of files counted as free.
int64_t free_host_memory();

}  // namespace engine
