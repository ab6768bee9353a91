// The scheduler of the host runner: the threads of a block are fibers that run in turn on the calling thread, each
// until it waits at a barrier or a warp collective, or returns. Blocks run one after another, those of a cooperative
// launch each until all of its threads wait at a grid barrier.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "shared_memory.h"

constinit thread_local uint3 threadIdx{};
constinit thread_local uint3 blockIdx{};
constinit thread_local dim3 blockDim{};
constinit thread_local dim3 gridDim{};

namespace engine::host_runner {
namespace {

UNSEEN void activate(Runner& r, Thread& thread) {
  thread.state = State::ready;
  r.current = &thread;
  threadIdx = thread.index;
}

UNSEEN void wait(Runner& r, Thread& thread) { switch_fiber(*thread.fiber, r.main); }

UNSEEN void fiber_main() {
  enter_fiber(runner->main);
  for (;;) {
    Runner& r = *runner;
    r.body(r.arguments);
    release(grid_tags.launch_end);
    Thread& thread = *r.current;
    thread.state = State::finished;
    ++r.finished;
    // A thread that has not begun can have this stack at once: kernels without barriers run with no switch at all. To
    // TSan every thread is a fiber of its own.
    if (!kThreadSanitizer && r.head != r.tail && queued(r, r.head).state == State::fresh) {
      Thread& next = queued(r, r.head++);
      next.fiber = thread.fiber;
      activate(r, next);
    } else {
      wait(r, thread);
    }
  }
}

// TSan: a stack that another thread has used would be a race, so fibers are not used again; and it says nothing of a
// race with a fiber whose number it has given to a new one, so they live on for a while.
UNSEEN void retire(Runner& r, Fiber* fiber) {
  Fiber*& oldest = r.retired[r.retired_count++ % kRetired];
  if (oldest) destroy_fiber(oldest);
  oldest = fiber;
}

UNSEEN void resume(Runner& r, Thread& thread) {
  if (thread.state == State::fresh) thread.fiber = r.idle_count ? r.idle[--r.idle_count] : create_fiber(fiber_main);
  activate(r, thread);
  switch_fiber(r.main, *thread.fiber);
  if (r.current->state == State::finished) {
    if (kThreadSanitizer)
      retire(r, r.current->fiber);
    else
      r.idle[r.idle_count++] = r.current->fiber;
  }
  r.current = nullptr;
}

// Nobody can run: finds the barrier that all threads have reached, or tells why they do not meet.
UNSEEN const Thread& meeting_place(Runner& r) {
  const Thread* first = nullptr;
  for (unsigned i = 0; i < r.thread_count; ++i) {
    const Thread& thread = r.threads[i];
    if (thread.state == State::finished) continue;
    if (thread.state == State::in_collective) {
      const Meeting& meeting = r.meetings[i / kWarp][0];
      fail(r.threads[i / kWarp * kWarp + __builtin_ctz(meeting.arrived)], meeting.place,
           "deadlock: of mask 0x%08x only the lanes 0x%08x reach this warp collective", meeting.mask, meeting.arrived);
    }
    if (!first) first = &thread;
    if (thread.state != first->state || !same(thread.place, first->place))
      fail(thread, thread.place, "divergent barrier: other threads wait in another %s, at %s:%d", name_of(first->state),
           first->place.file, first->place.line);
  }
  if (r.finished)
    fail(*first, first->place, "some threads reach this %s after others have returned", name_of(first->state));
  return *first;
}

UNSEEN void release_barrier(Runner& r) {
  const unsigned begin = r.tail;
  for (unsigned i = 0; i < r.thread_count; ++i) {
    r.threads[i].state = State::ready;
    enqueue(r, i);
  }
  arrange(r, begin);
}

UNSEEN void begin_block(Runner& r, uint3 index) {
  const dim3 block = r.launch.block;
  r.index = index;
  r.head = r.tail = r.thread_count = r.finished = r.barriers = r.grid_barriers = 0;
  for (unsigned z = 0; z < block.z; ++z)
    for (unsigned y = 0; y < block.y; ++y)
      for (unsigned x = 0; x < block.x; ++x) {
        r.threads[r.thread_count].index = {x, y, z};
        r.threads[r.thread_count].state = State::fresh;
        enqueue(r, r.thread_count++);
      }
  arrange(r, 0);
  create_shared_memory(r);
}

// Runs the block until all of its threads wait at a grid barrier, the first of which it returns, or have returned:
// null.
UNSEEN const Thread* advance(Runner& r) {
  runner = &r;
  blockIdx = r.index;
  for (;;) {
    while (r.head != r.tail) resume(r, queued(r, r.head++));
    if (r.finished == r.thread_count) return nullptr;
    const Thread& first = meeting_place(r);
    if (first.state == State::at_grid_barrier) return &first;
    ++r.barriers;
    release_barrier(r);
  }
}

// All blocks of a cooperative launch have come as far as they can: lets them go from the grid barrier, or tells why
// they do not meet. False: they have returned.
UNSEEN bool release_grid(const std::vector<Runner*>& blocks, const std::vector<const Thread*>& waiting) {
  const Thread* first = nullptr;
  bool returned = false;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (!waiting[i]) {
      returned = true;
      continue;
    }
    runner = blocks[i];  // of the messages
    blockIdx = runner->index;
    if (first && !same(first->place, waiting[i]->place))
      fail(*waiting[i], waiting[i]->place, "divergent grid barrier: other blocks wait in another one, at %s:%d",
           first->place.file, first->place.line);
    first = waiting[i];
  }
  if (!first) return false;
  if (returned) fail(*first, first->place, "divergent grid barrier: some blocks reach it after others have returned");
  for (Runner* block : blocks) {
    ++block->grid_barriers;
    release_barrier(*block);
  }
  return true;
}

UNSEEN void run_together(Runner& own, const std::vector<uint3>& indices) {
  static thread_local std::vector<std::unique_ptr<Runner>> others;  // their stacks are used again
  while (others.size() < indices.size()) others.push_back(std::make_unique<Runner>());
  std::vector<Runner*> blocks;
  for (const uint3 index : indices) {
    Runner& block = *others[blocks.size()];
    block.launch = own.launch;
    block.body = own.body;
    block.arguments = own.arguments;
    block.order = own.order;
    block.random = own.random++;
    block.main.tsan_fiber = own.main.tsan_fiber;
    begin_block(block, index);
    blocks.push_back(&block);
  }
  std::vector<const Thread*> waiting(blocks.size());
  do
    for (size_t i = 0; i < blocks.size(); ++i) waiting[i] = advance(*blocks[i]);
  while (release_grid(blocks, waiting));
  for (Runner* block : blocks) free_shared_memory(*block);
  runner = &own;
}

UNSEEN void check(const Launch& launch) {
  const dim3 g = launch.grid, b = launch.block;
  const uint64_t threads = uint64_t{b.x} * b.y * b.z;
  const char* fault = nullptr;
  if (b.x > 1024 || b.y > 1024 || b.z > 64 || threads < 1 || threads > kMaxThreads)
    fault = "a block has 1 to 1024 threads, at most (1024,1024,64)";
  else if (g.x < 1 || g.y < 1 || g.z < 1 || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535)
    fault = "a grid has (1,1,1) to (2147483647,65535,65535) blocks";
  else if (launch.shared_bytes > kMaxShared)
    fault = "a block has at most 227 KiB (232448 bytes) of shared memory";
  else if (launch.cooperative &&
           uint64_t{g.x} * g.y * g.z > kMultiprocessors * resident_blocks(threads, launch.shared_bytes))
    fault = "the device cannot hold all blocks of this cooperative launch at once";
  if (!fault) return;
  std::fprintf(stderr,
               "host runner: %s:%d: kernel %s, grid (%u,%u,%u), block (%u,%u,%u), %zu bytes of shared memory: invalid "
               "launch: %s\n",
               launch.place.file, launch.place.line, launch.kernel, g.x, g.y, g.z, b.x, b.y, b.z, launch.shared_bytes,
               fault);
  std::fflush(stderr);
  std::abort();
}

UNSEEN uint64_t greatest_common_divisor(uint64_t a, uint64_t b) { return b ? greatest_common_divisor(b, a % b) : a; }

struct Owner {  // of this thread's runner
  ~Owner() {
    delete runner;
    runner = nullptr;
  }
};

UNSEEN Runner& this_runner() {
  if (!runner) {
    static thread_local Owner owner;
    static_cast<void>(owner);
    runner = new Runner;
  }
  return *runner;
}

}  // namespace

Runner::Runner() {
  const char* text = std::getenv("ENGINE_RUNNER_ORDER");
  if (!text || std::strcmp(text, "forward") == 0) return;
  char* end = nullptr;
  if (std::strcmp(text, "reverse") == 0) {
    order = Order::reverse;
  } else if (std::strncmp(text, "shuffled:", 9) == 0 &&
             (random = std::strtoull(text + 9, &end, 10), end != text + 9 && !*end)) {
    order = Order::shuffled;
  } else {
    std::fprintf(stderr, "host runner: ENGINE_RUNNER_ORDER is '%s'; use forward, reverse or shuffled:SEED\n", text);
    std::abort();
  }
}

Runner::~Runner() {
  while (idle_count) destroy_fiber(idle[--idle_count]);
  for (Fiber* fiber : retired)
    if (fiber) destroy_fiber(fiber);
}

namespace {
Submit submitter = [](std::function<void()> work) { work(); };
}  // namespace
void set_submit(Submit submit) { submitter = submit; }
void submit(std::function<void()> work) { submitter(std::move(work)); }

UNSEEN void set_order(Order order, uint64_t seed) {
  Runner& r = this_runner();
  r.order = order;
  r.random = seed;
}

UNSEEN void run(const Launch& launch, void (*body)(void*), void* arguments) {
  Runner& r = this_runner();
  if (r.current) fail(*r.current, launch.place, "a kernel cannot launch another one");
  check(launch);
  r.launch = launch;
  r.body = body;
  r.arguments = arguments;
  r.main.tsan_fiber = this_tsan_fiber();
  blockDim = launch.block;
  gridDim = launch.grid;
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  uint64_t block = 0, step = 1;
  if (r.order == Order::reverse) {
    block = step = blocks - 1;
  } else if (r.order == Order::shuffled) {  // a step without a divisor in common with `blocks` meets each once
    block = random_below(r, blocks);
    do step = 1 + random_below(r, blocks);
    while (greatest_common_divisor(step, blocks) != 1);
  }
  std::vector<uint3> together;
  for (uint64_t i = 0; i < blocks; ++i, block = (block + step) % blocks) {
    const uint64_t row = block / launch.grid.x;
    const uint3 index{static_cast<unsigned>(block % launch.grid.x), static_cast<unsigned>(row % launch.grid.y),
                      static_cast<unsigned>(row / launch.grid.y)};
    if (launch.cooperative) {
      together.push_back(index);
    } else {
      begin_block(r, index);
      if (const Thread* thread = advance(r))
        fail(*thread, thread->place, "grid barrier in a kernel that was not launched cooperatively");
      free_shared_memory(r);
    }
  }
  if (launch.cooperative) run_together(r, together);
  acquire(grid_tags.launch_end);
}

unsigned resident_blocks(unsigned threads, size_t shared_bytes) {
  constexpr unsigned kMostThreads = 2048, kMostBlocks = 32;
  constexpr size_t kReserved = 1024, kShared = kMaxShared + kReserved;
  if (threads == 0 || threads > kMaxThreads || shared_bytes > kMaxShared) return 0;
  return std::min({kMostThreads / threads, kMostBlocks, static_cast<unsigned>(kShared / (shared_bytes + kReserved))});
}

UNSEEN void thread_fence() {
  acquire(grid_tags.fence);
  release(grid_tags.fence);
}

UNSEEN void trap(Place place) { fail(*runner->current, place, "__trap was called"); }

// Two tags in turn: a thread that runs ahead to the next barrier must not release what a slow one acquires for this
// one.
UNSEEN void wait_at(State barrier, char& tag, Place place) {
  Thread& thread = *runner->current;
  thread.state = barrier;
  thread.place = place;
  release(tag);
  wait(*runner, thread);
  acquire(tag);
}
UNSEEN void sync_threads(Place place) {
  wait_at(State::at_barrier, runner->tags->barrier[runner->barriers % 2], place);
}
UNSEEN void sync_grid(Place place) {
  wait_at(State::at_grid_barrier, grid_tags.barrier[runner->grid_barriers % 2], place);
}

namespace {

// All lanes have arrived: each takes its outcome and can run.
UNSEEN void complete(Runner& r, Thread* lanes, const Meeting& meeting) {
  uint64_t common = lanes[__builtin_ctz(meeting.mask)].value;
  if (meeting.combine)
    for (unsigned rest = meeting.mask & (meeting.mask - 1); rest; rest &= rest - 1)
      common = meeting.combine(common, lanes[__builtin_ctz(rest)].value);
  const unsigned begin = r.tail;
  for (unsigned rest = meeting.mask; rest; rest &= rest - 1) {
    Thread& thread = lanes[__builtin_ctz(rest)];
    if (!meeting.combine && (thread.source >= kWarp || !(meeting.mask >> thread.source & 1)))
      fail(thread, meeting.place, "shuffle from lane %u, which is not one of the lanes 0x%08x that take part",
           thread.source, meeting.mask);
    thread.outcome = meeting.combine ? common : lanes[thread.source].value;
    thread.state = State::ready;
    if (&thread != r.current) enqueue(r, static_cast<unsigned>(&thread - r.threads));
  }
  arrange(r, begin);
}

// Waits until all lanes of `mask` are here.
UNSEEN uint64_t meet(unsigned mask, uint64_t value, unsigned source, Combine combine, bool orders_memory, Place place) {
  Runner& r = *runner;
  Thread& thread = *r.current;
  const unsigned number = static_cast<unsigned>(&thread - r.threads), lane = number % kWarp, warp = number / kWarp;
  const unsigned lane_count = std::min(kWarp, r.thread_count - warp * kWarp);
  if (lane_count < kWarp) mask &= (1u << lane_count) - 1;  // a full mask is right in a block's incomplete last warp too
  if (!(mask >> lane & 1)) fail(thread, place, "lane %u is not in its own mask 0x%08x", lane, mask);

  Meeting* meetings = r.meetings[warp];
  unsigned& count = r.meeting_count[warp];
  unsigned at = 0;
  for (; at < count; ++at) {
    const Meeting& other = meetings[at];
    if (other.mask == mask && other.combine == combine && same(other.place, place)) break;
    if ((mask & other.arrived) && (other.mask >> lane & 1))
      fail(thread, place, "lane %u with mask 0x%08x and lane %d with mask 0x%08x, at %s:%d, wait for each other", lane,
           mask, __builtin_ctz(mask & other.arrived), other.mask, other.place.file, other.place.line);
  }
  if (at == count)
    meetings[count++] = {mask, 0, place, combine, &r.tags->warp[warp][r.tags->used[warp]++ % Tags::kPerWarp]};
  meetings[at].arrived |= 1u << lane;
  char& tag = *meetings[at].tag;
  thread.value = value;
  thread.source = source;
  thread.place = place;
  if (orders_memory) release(tag);
  if (meetings[at].arrived == mask) {
    const Meeting full = meetings[at];
    meetings[at] = meetings[--count];
    complete(r, &r.threads[warp * kWarp], full);
  } else {
    thread.state = State::in_collective;
    wait(r, thread);
  }
  if (orders_memory) acquire(tag);
  return thread.outcome;
}

UNSEEN uint64_t first_of(uint64_t a, uint64_t) { return a; }

}  // namespace

UNSEEN uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, Place place) {
  return meet(mask, value, source, nullptr, false, place);
}

UNSEEN uint64_t reduce(unsigned mask, uint64_t value, Combine combine, Place place) {
  return meet(mask, value, 0, combine, false, place);
}

UNSEEN void sync_warp(unsigned mask, Place place) { meet(mask, 0, 0, first_of, true, place); }

}  // namespace engine::host_runner
