// The CPU's context: memory, the thread pool's state, and what the tests switch on to catch bad kernels.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "kernels/scratch.h"

namespace engine {

class CpuContext {
 public:
  // 64-byte aligned. Freed blocks are kept by size and handed out again: a training step asks for the same sizes every
  // time, and returning them to the system would cost a page fault per 4 KiB.
  void* allocate(size_t bytes);
  void deallocate(void* memory, size_t bytes) noexcept;
  // Gives every kept block back to the system.
  void trim() noexcept;

  // Checking mode, for tests: memory is filled with bytes that read as NaN, and guard bytes around every allocation are
  // compared when it is freed. Both cost time.
  void set_checking(bool on);
  bool checking() const { return checking_; }
  // Allocations found with a damaged guard since the start.
  int64_t guard_violations() const { return guard_violations_; }

 private:
  void* system_allocate(size_t bytes);

  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
  bool checking_ = false;
  int64_t guard_violations_ = 0;
};

// Sets flush-to-zero on the calling thread and on every thread of its OpenMP pool, once per calling thread and pool
// size. Denormal numbers would make a matrix product 5 to 15 times slower.
void flush_denormals();

using Scratch = ScratchMemory<CpuContext>;

}  // namespace engine
