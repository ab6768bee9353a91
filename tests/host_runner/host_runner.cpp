// The scheduler of the host runner: the threads of a block are fibers that run in turn on the calling thread, each
// until it waits at a barrier or a warp collective, or returns.
#include <algorithm>
#include <cstdarg>
#include <cstring>

#include "fiber.h"
#include "runtime.h"

constinit thread_local uint3 threadIdx{};
constinit thread_local uint3 blockIdx{};
constinit thread_local dim3 blockDim{};
constinit thread_local dim3 gridDim{};

namespace engine::host_runner {
namespace {

constexpr unsigned kMaxThreads = 1024, kWarp = 32;
constexpr size_t kMaxStaticShared = 48 << 10;  // what nvcc accepts
constexpr size_t kMaxShared = 227 << 10;       // what a block of compute capability 9.0 can have
constexpr unsigned kMaxVariables = 64;
constexpr unsigned kWarpTags = 64;

enum class State : uint8_t { fresh, ready, at_barrier, in_collective, finished };

struct Thread {
  uint3 index;
  State state;
  Fiber* fiber;
  Place place;  // where it waits
  unsigned mask, source, tag;
  Combine combine;
  uint64_t value, result;
};

struct SharedVariable {
  const void* key;
  char* memory;
};

struct Runner {
  Launch launch{};
  void (*body)(void*) = nullptr;
  void* arguments = nullptr;
  Order order = Order::forward;
  uint64_t random = 1;

  Fiber main;
  Fiber* idle[kMaxThreads];
  unsigned idle_count = 0;

  // The block that runs.
  Thread threads[kMaxThreads];
  unsigned thread_count = 0, finished = 0, at_barrier = 0, barriers = 0;
  Thread* current = nullptr;    // null while the scheduler itself runs
  uint16_t queue[kMaxThreads];  // a ring of threads that can run
  unsigned head = 0, tail = 0;
  char* pages = nullptr;  // TSan: all memory of the block
  char* dynamic = nullptr;
  SharedVariable variables[kMaxVariables];
  unsigned variable_count = 0;
  size_t static_bytes = 0;

  // What TSan takes for the objects that order memory. Those within a block are new for each block: they must not order
  // one block's accesses with another's.
  struct Tags {
    char barrier[2];
    char warp[kMaxThreads / kWarp][kWarpTags];
    unsigned used[kMaxThreads / kWarp];
  };
  Tags* tags = nullptr;
  char fence = 0, launch_end = 0;

  Runner();
  ~Runner();
};

constinit thread_local Runner* runner = nullptr;

// ------------------------------------------------------------------------------------------------------ messages

ENGINE_RUNNER_UNSEEN bool same(const Place& a, const Place& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

ENGINE_RUNNER_UNSEEN const char* what_it_waits_for(const Thread& thread) {
  return thread.state == State::at_barrier ? "at __syncthreads" : "in a warp collective";
}

ENGINE_RUNNER_UNSEEN bool waits(const Thread& thread) {
  return thread.state == State::at_barrier || thread.state == State::in_collective;
}

// One line that names the place, then where the threads of the block stand.
[[noreturn, gnu::format(printf, 3, 4)]] ENGINE_RUNNER_UNSEEN void fail(const Thread* thread, Place place,
                                                                       const char* format, ...) {
  Runner& r = *runner;
  std::fprintf(stderr, "host runner: %s:%d: kernel %s, block (%u,%u,%u)", place.file, place.line, r.launch.kernel,
               blockIdx.x, blockIdx.y, blockIdx.z);
  if (thread) std::fprintf(stderr, ", thread (%u,%u,%u)", thread->index.x, thread->index.y, thread->index.z);
  std::fprintf(stderr, ": ");
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  for (unsigned i = 0; i < r.thread_count; ++i) {
    const Thread& first = r.threads[i];
    unsigned alike = 0;  // threads that wait at the same place; told once, by the first of them
    for (unsigned k = 0; waits(first) && k < r.thread_count; ++k) {
      const bool match = r.threads[k].state == first.state && same(r.threads[k].place, first.place);
      if (match && k < i) break;
      alike += match;
    }
    if (alike)
      std::fprintf(stderr, "  %u of %u threads wait %s, %s:%d, the first is (%u,%u,%u)\n", alike, r.thread_count,
                   what_it_waits_for(first), first.place.file, first.place.line, first.index.x, first.index.y,
                   first.index.z);
  }
  if (r.finished) std::fprintf(stderr, "  %u of %u threads have returned\n", r.finished, r.thread_count);
  std::fflush(stderr);
  std::abort();
}

// ------------------------------------------------------------------------------------------------------ order

ENGINE_RUNNER_UNSEEN uint64_t random_below(Runner& r, uint64_t bound) {  // splitmix64
  uint64_t x = r.random += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return (x ^ (x >> 31)) % bound;
}

ENGINE_RUNNER_UNSEEN void enqueue(Runner& r, unsigned thread) {
  r.queue[r.tail++ % kMaxThreads] = static_cast<uint16_t>(thread);
}

ENGINE_RUNNER_UNSEEN void swap_queued(Runner& r, unsigned a, unsigned b) {
  const uint16_t thread = r.queue[a % kMaxThreads];
  r.queue[a % kMaxThreads] = r.queue[b % kMaxThreads];
  r.queue[b % kMaxThreads] = thread;
}

// Brings the part of the queue that starts at `first` into the order asked for.
ENGINE_RUNNER_UNSEEN void arrange(Runner& r, unsigned first) {
  const unsigned count = r.tail - first;
  if (r.order == Order::reverse)
    for (unsigned i = 0; i < count / 2; ++i) swap_queued(r, first + i, r.tail - 1 - i);
  if (r.order == Order::shuffled)
    for (unsigned i = count; i > 1; --i)
      swap_queued(r, first + i - 1, first + static_cast<unsigned>(random_below(r, i)));
}

// ------------------------------------------------------------------------------------------------------ threads

ENGINE_RUNNER_UNSEEN void activate(Runner& r, Thread& thread) {
  thread.state = State::ready;
  r.current = &thread;
  threadIdx = thread.index;
}

ENGINE_RUNNER_UNSEEN void wait(Runner& r, Thread& thread) { switch_fiber(*thread.fiber, r.main); }

ENGINE_RUNNER_UNSEEN void fiber_main() {
  enter_fiber(runner->main);
  for (;;) {
    runner->body(runner->arguments);
    Runner& r = *runner;
    release(r.launch_end);
    Thread& thread = *r.current;
    thread.state = State::finished;
    ++r.finished;
    // A thread that has not begun can have this stack at once: kernels without barriers run with no switch at all. To
    // TSan every thread is a fiber of its own.
    Thread* next = r.head == r.tail ? nullptr : &r.threads[r.queue[r.head % kMaxThreads]];
    if (!kThreadSanitizer && next && next->state == State::fresh) {
      ++r.head;
      next->fiber = thread.fiber;
      activate(r, *next);
    } else {
      wait(r, thread);
    }
  }
}

ENGINE_RUNNER_UNSEEN void resume(Runner& r, Thread& thread) {
  if (thread.state == State::fresh) thread.fiber = r.idle_count ? r.idle[--r.idle_count] : create_fiber(fiber_main);
  activate(r, thread);
  switch_fiber(r.main, *thread.fiber);
  if (r.current->state == State::finished) {
    if (kThreadSanitizer)  // a stack that another thread used before would be a race
      destroy_fiber(r.current->fiber);
    else
      r.idle[r.idle_count++] = r.current->fiber;
  }
  r.current = nullptr;
}

// Nobody can run: lets the barrier go that all threads have reached, or tells why there is none.
ENGINE_RUNNER_UNSEEN void release_barrier(Runner& r) {
  Thread* first = nullptr;
  for (unsigned i = 0; i < r.thread_count; ++i) {
    Thread& thread = r.threads[i];
    if (thread.state == State::in_collective)
      fail(&thread, thread.place, "deadlock: lanes of mask 0x%08x never reach this warp collective", thread.mask);
    if (thread.state != State::at_barrier) continue;
    if (!first) first = &thread;
    if (!same(thread.place, first->place))
      fail(&thread, thread.place, "divergent barrier: other threads wait at another __syncthreads, %s:%d",
           first->place.file, first->place.line);
  }
  if (r.finished) fail(first, first->place, "__syncthreads is reached by some threads after others have returned");
  ++r.barriers;
  const unsigned begin = r.tail;
  for (unsigned i = 0; i < r.thread_count; ++i) {
    r.threads[i].state = State::ready;
    enqueue(r, i);
  }
  arrange(r, begin);
}

// ------------------------------------------------------------------------------------------------------ blocks

ENGINE_RUNNER_UNSEEN size_t pages_of_block(const Runner& r) {
  return (r.launch.shared_bytes + 2 * kPage) / kPage * kPage + kMaxStaticShared + sizeof(Runner::Tags);
}

// Shared memory starts as 0xFF bytes, which are NaN in every floating-point type: reading what nobody wrote shows.
ENGINE_RUNNER_UNSEEN void create_memory(Runner& r) {
  const size_t bytes = r.launch.shared_bytes;
  r.variable_count = 0;
  r.static_bytes = 0;
  if (kThreadSanitizer) {  // made before the threads are: an allocation of one of them would be a write of its own
    r.pages = map_pages(pages_of_block(r));
    r.tags = reinterpret_cast<Runner::Tags*>(r.pages + pages_of_block(r) - sizeof(Runner::Tags));
    r.dynamic = r.pages;
    std::memset(r.pages, 0xff, pages_of_block(r) - sizeof(Runner::Tags));
  } else {  // exact sizes: ASan sees the ends
    r.dynamic = bytes ? static_cast<char*>(std::malloc(bytes)) : nullptr;
    if (bytes) std::memset(r.dynamic, 0xff, bytes);
  }
}

ENGINE_RUNNER_UNSEEN void free_memory(Runner& r) {
  if (kThreadSanitizer) {
    munmap(r.pages, pages_of_block(r));
    return;
  }
  std::free(r.dynamic);
  for (unsigned i = 0; i < r.variable_count; ++i) std::free(r.variables[i].memory);
}

ENGINE_RUNNER_UNSEEN void run_block(Runner& r, uint3 index) {
  const dim3 block = r.launch.block;
  blockIdx = index;
  r.head = r.tail = r.finished = r.barriers = 0;
  r.thread_count = 0;
  for (unsigned z = 0; z < block.z; ++z)
    for (unsigned y = 0; y < block.y; ++y)
      for (unsigned x = 0; x < block.x; ++x) {
        Thread& thread = r.threads[r.thread_count];
        thread.index = {x, y, z};
        thread.state = State::fresh;
        enqueue(r, r.thread_count++);
      }
  arrange(r, 0);
  create_memory(r);
  for (;;) {
    while (r.head != r.tail) resume(r, r.threads[r.queue[r.head++ % kMaxThreads]]);
    if (r.finished == r.thread_count) break;
    release_barrier(r);
  }
  free_memory(r);
}

ENGINE_RUNNER_UNSEEN void check(const Launch& launch) {
  const dim3 g = launch.grid, b = launch.block;
  const uint64_t threads = uint64_t{b.x} * b.y * b.z;
  const char* fault = nullptr;
  if (b.x > 1024 || b.y > 1024 || b.z > 64 || threads < 1 || threads > kMaxThreads)
    fault = "a block has 1 to 1024 threads, at most (1024,1024,64)";
  else if (g.x < 1 || g.y < 1 || g.z < 1 || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535)
    fault = "a grid has (1,1,1) to (2147483647,65535,65535) blocks";
  else if (launch.shared_bytes > kMaxShared)
    fault = "a block has at most 227 KiB (232448 bytes) of shared memory";
  if (!fault) return;
  std::fprintf(stderr,
               "host runner: %s:%d: invalid launch of kernel %s, grid (%u,%u,%u), block (%u,%u,%u), %zu bytes of "
               "shared memory: %s\n",
               launch.place.file, launch.place.line, launch.kernel, g.x, g.y, g.z, b.x, b.y, b.z, launch.shared_bytes,
               fault);
  std::fflush(stderr);
  std::abort();
}

Runner::Runner() {
  const char* text = std::getenv("ENGINE_RUNNER_ORDER");
  if (!text || std::strcmp(text, "forward") == 0) return;
  char* end = nullptr;
  if (std::strcmp(text, "reverse") == 0) {
    order = Order::reverse;
  } else if (std::strncmp(text, "shuffled:", 9) == 0 && (random = std::strtoull(text + 9, &end, 10), end != text + 9) &&
             !*end) {
    order = Order::shuffled;
  } else {
    std::fprintf(stderr, "host runner: ENGINE_RUNNER_ORDER is '%s'; use forward, reverse or shuffled:SEED\n", text);
    std::abort();
  }
}

Runner::~Runner() {
  while (idle_count) destroy_fiber(idle[--idle_count]);
}

struct Owner {
  ~Owner() {
    delete runner;
    runner = nullptr;
  }
};

ENGINE_RUNNER_UNSEEN Runner& this_runner() {
  if (!runner) {
    static thread_local Owner owner;
    static_cast<void>(owner);
    runner = new Runner;
  }
  return *runner;
}

ENGINE_RUNNER_UNSEEN uint64_t greatest_common_divisor(uint64_t a, uint64_t b) {
  while (b) {
    const uint64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

}  // namespace

ENGINE_RUNNER_UNSEEN void set_order(Order order, uint64_t seed) {
  Runner& r = this_runner();
  r.order = order;
  r.random = seed;
}

ENGINE_RUNNER_UNSEEN void run(const Launch& launch, void (*body)(void*), void* arguments) {
  Runner& r = this_runner();
  if (r.current) fail(r.current, launch.place, "a kernel cannot launch another one");
  check(launch);
  r.launch = launch;
  r.body = body;
  r.arguments = arguments;
#ifdef __SANITIZE_THREAD__
  r.main.tsan_fiber = __tsan_get_current_fiber();
#endif
  blockDim = launch.block;
  gridDim = launch.grid;
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  uint64_t block = 0, step = 1;
  if (r.order == Order::reverse) {
    block = step = blocks - 1;
  } else if (r.order == Order::shuffled) {  // a step without a common divisor meets every block once
    block = random_below(r, blocks);
    do step = 1 + random_below(r, blocks);
    while (greatest_common_divisor(step, blocks) != 1);
  }
  for (uint64_t i = 0; i < blocks; ++i, block = (block + step) % blocks)
    run_block(
        r, {static_cast<unsigned>(block % launch.grid.x), static_cast<unsigned>(block / launch.grid.x % launch.grid.y),
            static_cast<unsigned>(block / launch.grid.x / launch.grid.y)});
  acquire(r.launch_end);
}

ENGINE_RUNNER_UNSEEN void* dynamic_shared_memory() { return runner->dynamic; }

ENGINE_RUNNER_UNSEEN void* shared_variable(const void* key, size_t bytes, size_t alignment, Place place) {
  Runner& r = *runner;
  for (unsigned i = 0; i < r.variable_count; ++i)
    if (r.variables[i].key == key) return r.variables[i].memory;
  const size_t offset = (r.static_bytes + alignment - 1) / alignment * alignment;
  r.static_bytes = offset + bytes;
  if (r.variable_count == kMaxVariables) fail(r.current, place, "more than %u SHARED variables", kMaxVariables);
  if (r.static_bytes > kMaxStaticShared) fail(r.current, place, "more than 48 KiB of SHARED variables");
  if (r.static_bytes + r.launch.shared_bytes > kMaxShared)
    fail(r.current, place, "more than 227 KiB of shared memory: %zu bytes of SHARED variables, %zu bytes at the launch",
         r.static_bytes, r.launch.shared_bytes);
  void* memory = nullptr;
  if (kThreadSanitizer) {
    memory = r.pages + (r.launch.shared_bytes + kPage) / kPage * kPage + offset;
  } else if (posix_memalign(&memory, std::max(alignment, sizeof(void*)), bytes) == 0) {
    std::memset(memory, 0xff, bytes);
  } else {
    fail(r.current, place, "out of memory");
  }
  r.variables[r.variable_count++] = {key, static_cast<char*>(memory)};
  return memory;
}

ENGINE_RUNNER_UNSEEN void thread_fence() {
  acquire(runner->fence);
  release(runner->fence);
}

ENGINE_RUNNER_UNSEEN void trap(Place place) { fail(runner->current, place, "__trap was called"); }

ENGINE_RUNNER_UNSEEN void sync_threads(Place place) {
  Runner& r = *runner;
  Thread& thread = *r.current;
  thread.state = State::at_barrier;
  thread.place = place;
  // Two in turn: a thread that runs ahead to the next barrier must not release what a slow one acquires for this one.
  char* tag = kThreadSanitizer ? &r.tags->barrier[r.barriers % 2] : &r.fence;
  release(*tag);
  wait(r, thread);
  acquire(*tag);
}

namespace {

// The lanes of `mask` have all arrived: gives each its result.
ENGINE_RUNNER_UNSEEN void complete(Runner& r, Thread* lanes, unsigned mask) {
  for (unsigned k = 0; k < kWarp; ++k) {
    if (!(mask >> k & 1)) continue;
    Thread& thread = lanes[k];
    if (thread.combine) {
      bool first = true;
      for (unsigned j = 0; j < kWarp; ++j) {
        if (!(mask >> j & 1)) continue;
        thread.result = first ? lanes[j].value : thread.combine(thread.result, lanes[j].value);
        first = false;
      }
    } else {
      if (thread.source >= kWarp || !(mask >> thread.source & 1))
        fail(&thread, thread.place, "shuffle from lane %u, which is not among the lanes 0x%08x that take part",
             thread.source, mask);
      thread.result = lanes[thread.source].value;
    }
  }
  const unsigned begin = r.tail;
  for (unsigned k = 0; k < kWarp; ++k) {
    if (!(mask >> k & 1)) continue;
    lanes[k].state = State::ready;
    if (&lanes[k] != r.current) enqueue(r, static_cast<unsigned>(&lanes[k] - r.threads));
  }
  arrange(r, begin);
}

// Waits until every lane of `mask` is here.
ENGINE_RUNNER_UNSEEN uint64_t meet(unsigned mask, uint64_t value, unsigned source, Combine combine, Place place,
                                   bool orders_memory) {
  Runner& r = *runner;
  Thread& thread = *r.current;
  const unsigned number = static_cast<unsigned>(&thread - r.threads), lane = number % kWarp, warp = number / kWarp;
  Thread* lanes = &r.threads[warp * kWarp];
  const unsigned lane_count = std::min(kWarp, r.thread_count - warp * kWarp);
  if (lane_count < kWarp) mask &= (1u << lane_count) - 1;  // a full mask is right in a block's incomplete last warp too
  if (!(mask >> lane & 1)) fail(&thread, place, "lane %u is not in its own mask 0x%08x", lane, mask);

  thread.state = State::in_collective;
  thread.place = place;
  thread.mask = mask;
  thread.source = source;
  thread.combine = combine;
  thread.value = value;
  unsigned arrived = 1u << lane;
  const Thread* before = nullptr;
  for (unsigned k = 0; k < lane_count; ++k) {
    const Thread& other = lanes[k];
    if (k == lane || other.state != State::in_collective) continue;
    if (other.mask == mask && same(other.place, place)) {
      arrived |= 1u << k;
      before = &other;
    } else if ((mask >> k & 1) && (other.mask >> lane & 1)) {
      fail(&thread, place,
           "lane %u (mask 0x%08x) and lane %u (mask 0x%08x) wait for each other at different places or "
           "with different masks",
           lane, mask, k, other.mask);
    }
  }
  char* tag = &r.fence;
  if (kThreadSanitizer) {
    thread.tag = before ? before->tag : r.tags->used[warp]++ % kWarpTags;
    tag = &r.tags->warp[warp][thread.tag];
  }
  if (orders_memory) release(*tag);
  if (arrived == mask)
    complete(r, lanes, mask);
  else
    wait(r, thread);
  if (orders_memory) acquire(*tag);
  return thread.result;
}

ENGINE_RUNNER_UNSEEN uint64_t first_of(uint64_t a, uint64_t) { return a; }

}  // namespace

ENGINE_RUNNER_UNSEEN uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, Place place) {
  return meet(mask, value, source, nullptr, place, false);
}

ENGINE_RUNNER_UNSEEN uint64_t reduce(unsigned mask, uint64_t value, Combine combine, Place place) {
  return meet(mask, value, 0, combine, place, false);
}

ENGINE_RUNNER_UNSEEN void sync_warp(unsigned mask, Place place) { meet(mask, 0, 0, first_of, place, true); }

}  // namespace engine::host_runner
