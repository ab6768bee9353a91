// Work on many things by several threads.
#pragma once

#include <cstdint>
#include <functional>

namespace engine {

// Calls work(i) for i = 0 .. count - 1, each once, started in this order, on `threads` threads (0: one per core) of
// which the caller is one. After each, `progress` is told how many are done, one call at a time; false ends it early,
// and so does an exception, the first of which is passed on. Gives how many were done.
int64_t for_all(int64_t count, int threads, const std::function<void(int64_t i)>& work,
                const std::function<bool(int64_t done)>& progress = {});

}  // namespace engine
