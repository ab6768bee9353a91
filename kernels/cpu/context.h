// The CPU's context: memory, the thread pool's state, and what the tests switch on to catch bad kernels.
#pragma once

#include "kernels/scratch.h"

namespace engine {

class CpuContext {
 public:
  // Has malloc keep what is freed, in this process: a training step asks for the same memory every time, and returning
  // it to the system would cost a page fault per 4 KiB.
  CpuContext();

  // 64-byte aligned.
  void* allocate(size_t bytes);
  void deallocate(void* memory, size_t bytes) noexcept;

  // Checking mode, for tests: memory is filled with bytes that read as NaN, and guard bytes around every allocation are
  // compared when it is freed. Both cost time.
  void set_checking(bool on) { checking_ = on; }
  bool checking() const { return checking_; }
  // Allocations found with a damaged guard since the start.
  int64_t guard_violations() const { return guard_violations_; }

 private:
  bool checking_ = false;
  int64_t guard_violations_ = 0;
};

// Sets flush-to-zero on the calling thread and on every thread of its OpenMP pool, once per calling thread and pool
// size. Denormal numbers would make a matrix product 5 to 15 times slower.
void flush_denormals();

using Scratch = ScratchMemory<CpuContext>;

}  // namespace engine
