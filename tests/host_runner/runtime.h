// What the macros and device functions of the host runner call: launching, shared memory, barriers, collectives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#include <vector_types.h>

namespace engine::host_runner {

// The order in which blocks, and the threads of a block between two barriers, run.
enum class Order { forward, reverse, shuffled };

// For the launches of the calling thread. Until it is called, the environment variable ENGINE_RUNNER_ORDER decides:
// "forward" (also when unset), "reverse" or "shuffled:SEED".
void set_order(Order order, uint64_t seed = 1);

// A line of the kernel's source, for messages.
struct Place {
  const char* file = "";
  int line = 0;
  static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

struct Launch {
  const char* kernel;
  Place place;
  dim3 grid, block;
  size_t shared_bytes;
  bool cooperative = false;  // all blocks run at once, and may meet at grid barriers
};

// A small GPU, so that loops over the grid turn. Blocks that one multiprocessor holds at once; 0: not even one.
inline constexpr unsigned kMultiprocessors = 4;
inline constexpr size_t kMaxShared = 227 << 10;  // what a block of compute capability 9.0 can have
unsigned resident_blocks(unsigned threads, size_t shared_bytes);

// Calls body(arguments) once for every thread of every block; threadIdx and the like tell which one is running. Returns
// when all have returned. A fault of the launch or of the kernel's synchronisation is told on stderr and aborts.
void run(const Launch& launch, void (*body)(void*), void* arguments);

// What a launch does with its work; at first it runs it at once. A stand-in of the run-time library sets this to record
// launches while a stream is captured.
using Submit = void (*)(std::function<void()> work);
void set_submit(Submit submit);
void submit(std::function<void()> work);

constexpr dim3 extent(dim3 threads) { return threads; }
constexpr dim3 extent(int64_t threads) {  // 0 threads are refused later, by a message that names the kernel
  return dim3(threads == static_cast<unsigned>(threads) ? static_cast<unsigned>(threads) : 0);
}

// Arguments convert where the launch stands and are copied for every thread, as on the GPU.
template <class... P>
void launch(const Launch& shape, void (*kernel)(P...), std::type_identity_t<P>... arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel's parameters are copied to the GPU byte by byte");
  static_assert((sizeof(P) + ... + 0) <= 32764, "a kernel takes at most 32764 bytes of parameters");
  submit([=] {
    auto call = [=] { kernel(arguments...); };
    run(
        shape, [](void* thread) { (*static_cast<decltype(call)*>(thread))(); }, &call);
  });
}

// The block's variable `key`, made when the first thread asks for it.
void* shared_variable(const void* key, size_t bytes, size_t alignment, Place place = Place::here());
void* dynamic_shared_memory();

void sync_threads(Place place);
void sync_grid(Place place);
void thread_fence();
[[noreturn]] void trap(Place place);

// Warp collectives: every lane of `mask` waits for the others. `shuffle` returns the value of lane `source`; `reduce`
// folds the values in the order of the lanes; `sync_warp` also orders memory, which the other two do not (as on the
// GPU: TSan reports kernels that rely on it).
using Combine = uint64_t (*)(uint64_t, uint64_t);
uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, Place place);
uint64_t reduce(unsigned mask, uint64_t value, Combine combine, Place place);
void sync_warp(unsigned mask, Place place);

}  // namespace engine::host_runner

extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;
