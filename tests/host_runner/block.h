// What the scheduler knows of the launch and of the block that runs, its messages, and the order of the threads that
// can run. Part of host_runner.cpp.
#pragma once

#include <cstdarg>
#include <cstring>

#include "fiber.h"
#include "runtime.h"

namespace engine::host_runner {

constexpr unsigned kMaxThreads = 1024, kWarp = 32, kWarps = kMaxThreads / kWarp;
#ifdef __clang__
constexpr unsigned kRetired = 1024;  // on several host threads, with the blocks' own, below the 8128 that TSan can have
#else
constexpr unsigned kRetired = 64;  // gcc's TSan takes 2 MB for each
#endif
constexpr unsigned kMaxVariables = 64;
constexpr size_t kMaxStaticShared = 48 << 10;  // what nvcc accepts

enum class State : uint8_t { fresh, ready, at_barrier, at_grid_barrier, in_collective, finished };

struct Thread {
  uint3 index;
  State state;
  Fiber* fiber;
  Place place;              // where it waits
  unsigned source;          // in a shuffle, the lane it reads
  uint64_t value, outcome;  // what it brings to a warp collective, and what it takes away
};

// Lanes of a warp that wait for the others of their mask.
struct Meeting {
  unsigned mask, arrived;
  Place place;
  Combine combine;  // null for a shuffle
  char* tag;
};

struct SharedVariable {
  const void* key;
  char* memory;
};

// What TSan takes for the objects that order memory, within one block.
struct Tags {
  static constexpr unsigned kPerWarp = 64;
  char barrier[2];
  char warp[kWarps][kPerWarp];
  unsigned used[kWarps];
};

// The launch and the block of it that runs. Blocks that run together (a cooperative launch) have a Runner each.
struct Runner {
  Launch launch{};
  void (*body)(void*) = nullptr;
  void* arguments = nullptr;
  Order order = Order::forward;
  uint64_t random = 1;

  Fiber main;
  Fiber* idle[kMaxThreads];  // stacks to use again
  unsigned idle_count = 0;
  Fiber* retired[kRetired] = {};
  unsigned retired_count = 0;

  uint3 index{};  // of the block
  Thread threads[kMaxThreads];
  Thread* current = nullptr;  // null while the scheduler itself runs
  unsigned thread_count = 0, finished = 0, barriers = 0, grid_barriers = 0;
  Meeting meetings[kWarps][kWarp];
  unsigned meeting_count[kWarps] = {};
  uint16_t queue[kMaxThreads];  // a ring of the threads that can run
  unsigned head = 0, tail = 0;

  char* dynamic = nullptr;
  SharedVariable variables[kMaxVariables];
  unsigned variable_count = 0;
  size_t static_bytes = 0;
  char* pages = nullptr;  // TSan: all memory of the block
  Tags no_tags{};
  Tags* tags = &no_tags;  // TSan: in the pages, as one block's barriers do not order another's accesses

  Runner();
  ~Runner();
};

inline constinit thread_local Runner* runner = nullptr;

// What TSan takes for the objects that order memory between blocks.
struct GridTags {
  char fence, launch_end, barrier[2];
};
inline constinit thread_local GridTags grid_tags{};

UNSEEN inline bool same(const Place& a, const Place& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

UNSEEN inline bool waits(const Thread& thread) {
  return thread.state == State::at_barrier || thread.state == State::at_grid_barrier ||
         thread.state == State::in_collective;
}

UNSEEN inline const char* name_of(State barrier) {
  return barrier == State::at_grid_barrier ? "grid barrier" : "__syncthreads";
}

// One line per place where threads of the block wait.
UNSEEN inline void tell_where_threads_wait(const Runner& r) {
  for (unsigned i = 0; i < r.thread_count; ++i) {
    const Thread& first = r.threads[i];
    unsigned alike = 0;
    for (unsigned k = 0; waits(first) && k < r.thread_count; ++k) {
      const bool match = r.threads[k].state == first.state && same(r.threads[k].place, first.place);
      if (match && k < i) break;  // told already
      alike += match;
    }
    if (alike)
      std::fprintf(stderr, "  %u of %u threads wait %s at %s:%d, the first is (%u,%u,%u)\n", alike, r.thread_count,
                   first.state == State::in_collective     ? "in a warp collective"
                   : first.state == State::at_grid_barrier ? "in a grid barrier"
                                                           : "in __syncthreads",
                   first.place.file, first.place.line, first.index.x, first.index.y, first.index.z);
  }
  if (r.finished) std::fprintf(stderr, "  %u of %u threads have returned\n", r.finished, r.thread_count);
}

[[noreturn, gnu::format(printf, 3, 4)]] UNSEEN inline void fail(const Thread& thread, Place place, const char* format,
                                                                ...) {
  std::fprintf(stderr, "host runner: %s:%d: kernel %s, block (%u,%u,%u), thread (%u,%u,%u): ", place.file, place.line,
               runner->launch.kernel, blockIdx.x, blockIdx.y, blockIdx.z, thread.index.x, thread.index.y,
               thread.index.z);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  tell_where_threads_wait(*runner);
  std::fflush(stderr);
  std::abort();
}

UNSEEN inline uint64_t random_below(Runner& r, uint64_t bound) {  // splitmix64
  uint64_t x = r.random += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return (x ^ (x >> 31)) % bound;
}

UNSEEN inline Thread& queued(Runner& r, unsigned position) { return r.threads[r.queue[position % kMaxThreads]]; }

UNSEEN inline void enqueue(Runner& r, unsigned thread) {
  r.queue[r.tail++ % kMaxThreads] = static_cast<uint16_t>(thread);
}

UNSEEN inline void swap_queued(Runner& r, unsigned a, unsigned b) {
  const uint16_t thread = r.queue[a % kMaxThreads];
  r.queue[a % kMaxThreads] = r.queue[b % kMaxThreads];
  r.queue[b % kMaxThreads] = thread;
}

// Brings the part of the queue that starts at `first` into the order asked for.
UNSEEN inline void arrange(Runner& r, unsigned first) {
  const unsigned count = r.tail - first;
  if (r.order == Order::reverse)
    for (unsigned i = 0; i < count / 2; ++i) swap_queued(r, first + i, r.tail - 1 - i);
  if (r.order == Order::shuffled)
    for (unsigned i = count; i > 1; --i)
      swap_queued(r, first + i - 1, first + static_cast<unsigned>(random_below(r, i)));
}

}  // namespace engine::host_runner
