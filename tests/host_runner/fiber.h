// Stacks to switch between, told to the sanitizers. Part of host_runner.cpp.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#if !defined(__x86_64__) && !defined(ENGINE_RUNNER_UCONTEXT)
#define ENGINE_RUNNER_UCONTEXT 1
#endif
#ifdef ENGINE_RUNNER_UCONTEXT
#include <ucontext.h>
#endif

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
// TSan must see the kernels' accesses to memory and nothing of the runner's own: its scheduler runs on the fibers of
// many threads of a block in turn, which to TSan is one race after the other.
#define UNSEEN __attribute__((no_sanitize("thread"), noinline))
#else
#define UNSEEN
#endif

namespace engine::host_runner {

#ifdef __SANITIZE_THREAD__
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

inline constexpr size_t kPage = 4096;
#ifdef __SANITIZE_ADDRESS__
inline constexpr size_t kStackBytes = 256 << 10;  // red zones make frames several times as large
#else
inline constexpr size_t kStackBytes = 64 << 10;
#endif

// Pages from the system, which to TSan are new memory each time: nobody has touched them.
UNSEEN inline char* map_pages(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) {
    std::perror("host runner: cannot map memory");
    std::abort();
  }
  return static_cast<char*>(pages);
}

struct Fiber {
#ifdef ENGINE_RUNNER_UCONTEXT
  ucontext_t context;
#else
  void* context = nullptr;  // the stack pointer, below which the saved registers lie
#endif
  char* stack = nullptr;  // lowest byte; null for the stack of the operating system's thread until a fiber learns it
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // ASan's
  void* tsan_fiber = nullptr;
};

#ifndef ENGINE_RUNNER_UCONTEXT
// System V x86-64: saves the callee-saved registers on the stack, and goes on where `to` was left.
__attribute__((naked, noinline)) inline void switch_stack([[maybe_unused]] void** from, [[maybe_unused]] void* to) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#endif

// `entry` never returns and begins with enter_fiber.
UNSEEN inline Fiber* create_fiber(void (*entry)()) {
  Fiber* fiber = new Fiber;
  char* pages = map_pages(kPage + kStackBytes);
  mprotect(pages, kPage, PROT_NONE);  // a stack that overflows faults
  fiber->stack = pages + kPage;
  fiber->stack_bytes = kStackBytes;
#ifdef ENGINE_RUNNER_UCONTEXT
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = kStackBytes;
  makecontext(&fiber->context, entry, 0);
#else
  void** top = reinterpret_cast<void**>(fiber->stack + kStackBytes);
  *--top = nullptr;  // where a function finds its return address; also aligns the stack as a call does
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the saved registers
  fiber->context = top;
#endif
#ifdef __SANITIZE_THREAD__
  fiber->tsan_fiber = __tsan_create_fiber(0);
#endif
  return fiber;
}

UNSEEN inline void* this_tsan_fiber() {
#ifdef __SANITIZE_THREAD__
  return __tsan_get_current_fiber();
#else
  return nullptr;
#endif
}

UNSEEN inline void destroy_fiber(Fiber* fiber) {
#ifdef __SANITIZE_THREAD__
  __tsan_destroy_fiber(fiber->tsan_fiber);
#endif
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(fiber->stack, kStackBytes);  // for whoever gets the address next
#endif
  munmap(fiber->stack - kPage, kPage + kStackBytes);
  delete fiber;
}

// The first thing on a new fiber; `from` is the one that switched to it.
UNSEEN inline void enter_fiber([[maybe_unused]] Fiber& from) {
#ifdef __SANITIZE_ADDRESS__
  const void* stack = nullptr;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &from.stack_bytes);
  from.stack = const_cast<char*>(static_cast<const char*>(stack));
#endif
}

// Returns when somebody switches back to `from`.
UNSEEN inline void switch_fiber(Fiber& from, Fiber& to) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
#ifdef __SANITIZE_THREAD__
  __tsan_switch_to_fiber(to.tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef ENGINE_RUNNER_UCONTEXT
  swapcontext(&from.context, &to.context);
#else
  switch_stack(&from.context, to.context);
#endif
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

// Orders memory between the fibers that acquire and release the same tag.
UNSEEN inline void acquire([[maybe_unused]] char& tag) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(&tag);
#endif
}
UNSEEN inline void release([[maybe_unused]] char& tag) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(&tag);
#endif
}

}  // namespace engine::host_runner
