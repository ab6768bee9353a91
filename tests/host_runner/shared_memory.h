// A block's shared memory. Part of host_runner.cpp.
#pragma once

#include <algorithm>

#include "block.h"

namespace engine::host_runner {

UNSEEN inline size_t bytes_of_pages(const Runner& r) {
  return r.launch.shared_bytes + kPage + kMaxStaticShared + sizeof(Tags);
}

// Shared memory starts as 0xFF bytes, which are NaN in every floating-point type: reading what nobody wrote shows.
UNSEEN inline void create_shared_memory(Runner& r) {
  const size_t bytes = r.launch.shared_bytes;
  r.variable_count = 0;
  r.static_bytes = 0;
  if (kThreadSanitizer) {  // made before the threads are: an allocation in one of them would be a write of its own
    r.pages = map_pages(bytes_of_pages(r));
    r.tags = reinterpret_cast<Tags*>(r.pages);
    r.dynamic = r.pages + (sizeof(Tags) + 255) / 256 * 256 + kMaxStaticShared;
    std::memset(r.dynamic - kMaxStaticShared, 0xff, kMaxStaticShared + bytes);
  } else if (bytes) {  // of the exact size, so that ASan sees the end
    r.dynamic = static_cast<char*>(std::malloc(bytes));
    std::memset(r.dynamic, 0xff, bytes);
  }
}

UNSEEN inline void free_shared_memory(Runner& r) {
  if (kThreadSanitizer) {
    munmap(r.pages, bytes_of_pages(r));
  } else {
    std::free(r.dynamic);
    for (unsigned i = 0; i < r.variable_count; ++i) std::free(r.variables[i].memory);
  }
  r.dynamic = nullptr;
}

UNSEEN void* dynamic_shared_memory() { return runner->dynamic; }

UNSEEN void* shared_variable(const void* key, size_t bytes, size_t alignment, Place place) {
  Runner& r = *runner;
  for (unsigned i = 0; i < r.variable_count; ++i)
    if (r.variables[i].key == key) return r.variables[i].memory;
  const size_t offset = (r.static_bytes + alignment - 1) / alignment * alignment;
  r.static_bytes = offset + bytes;
  if (r.variable_count == kMaxVariables) fail(*r.current, place, "more than %u SHARED variables", kMaxVariables);
  if (r.static_bytes > kMaxStaticShared) fail(*r.current, place, "more than 48 KiB of SHARED variables");
  if (r.static_bytes + r.launch.shared_bytes > kMaxShared)
    fail(*r.current, place, "more than 227 KiB of shared memory: %zu bytes in SHARED variables, %zu in the launch",
         r.static_bytes, r.launch.shared_bytes);
  void* memory = nullptr;
  if (kThreadSanitizer) {
    memory = r.dynamic - kMaxStaticShared + offset;
  } else {
    if (posix_memalign(&memory, std::max(alignment, sizeof(void*)), bytes) != 0)
      fail(*r.current, place, "out of memory");
    std::memset(memory, 0xff, bytes);
  }
  r.variables[r.variable_count++] = {key, static_cast<char*>(memory)};
  return memory;
}

}  // namespace engine::host_runner
