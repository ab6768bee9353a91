#include "kernels/cpu/context.h"

#include <immintrin.h>
#include <omp.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/profile.h"

namespace engine {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kGuard = 64;  // bytes before and after an allocation in checking mode
constexpr unsigned char kGuardByte = 0xA5;
constexpr unsigned char kPoisonByte = 0xFF;  // every float type reads this as NaN, i64 as -1

std::atomic<int64_t> bytes_in_use = 0;

// Sizes are rounded up to eighths of a power of two, so that nearly equal sizes share blocks.
size_t rounded(size_t bytes) {
  if (bytes <= 1024) return (bytes + kAlignment - 1) / kAlignment * kAlignment + (bytes == 0 ? kAlignment : 0);
  const size_t step = std::max<size_t>(kAlignment, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

bool intact(const unsigned char* guard) {
  return std::all_of(guard, guard + kGuard, [](unsigned char byte) { return byte == kGuardByte; });
}

}  // namespace

int64_t cpu_bytes_in_use() { return bytes_in_use; }

void* CpuContext::system_allocate(size_t bytes) {
  void* memory = std::aligned_alloc(kAlignment, bytes);
  if (!memory)
    throw Error(concat("out of memory: asked for ", bytes >> 20, " MiB; use a smaller batch or fewer frames"),
                exit_code::kMemory);
  return memory;
}

void* CpuContext::allocate(size_t bytes) {
  const size_t size = rounded(bytes);
  bytes_in_use += static_cast<int64_t>(bytes);
  if (checking_) {
    auto* block = static_cast<unsigned char*>(system_allocate(size + 2 * kGuard));
    std::memset(block, kGuardByte, kGuard);
    std::memset(block + kGuard, kPoisonByte, bytes);
    std::memset(block + kGuard + bytes, kGuardByte, size - bytes + kGuard);
    return block + kGuard;
  }
  {
    const std::lock_guard lock(mutex_);
    auto& blocks = free_[size];
    if (!blocks.empty()) {
      void* memory = blocks.back();
      blocks.pop_back();
      return memory;
    }
  }
  return system_allocate(size);
}

void CpuContext::deallocate(void* memory, size_t bytes) noexcept {
  if (!memory) return;
  bytes_in_use -= static_cast<int64_t>(bytes);
  if (checking_) {
    auto* block = static_cast<unsigned char*>(memory);
    if (!intact(block - kGuard) || !intact(block + bytes)) ++guard_violations_;
    std::free(block - kGuard);
    return;
  }
  try {
    const std::lock_guard lock(mutex_);
    free_[rounded(bytes)].push_back(memory);
  } catch (...) {
    std::free(memory);
  }
}

void CpuContext::trim() noexcept {
  const std::lock_guard lock(mutex_);
  for (auto& [size, blocks] : free_)
    for (void* block : blocks) std::free(block);
  free_.clear();
}

void CpuContext::set_checking(bool on) {
  if (on == checking_) return;
  trim();
  checking_ = on;
}

void flush_denormals() {
  thread_local int pool_size = 0;
  const int threads = omp_get_max_threads();
  if (pool_size == threads) return;
  pool_size = threads;
#pragma omp parallel
  {
    _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
    _MM_SET_DENORMALS_ZERO_MODE(_MM_DENORMALS_ZERO_ON);
  }
}

CpuContext& cpu_context() {
  static auto* context = new CpuContext;  // never destroyed: tensors in static storage may outlive it
  flush_denormals();
  return *context;
}

int cpu_threads() { return omp_get_max_threads(); }
void set_cpu_threads(int count) {
  ENGINE_CHECK(count >= 1, "set_cpu_threads: expected at least 1 thread, got ", count);
  omp_set_num_threads(count);
}

void* allocate(CpuContext& ctx, size_t bytes) { return ctx.allocate(bytes); }
void deallocate(CpuContext& ctx, void* memory, size_t bytes) noexcept { ctx.deallocate(memory, bytes); }
void copy_bytes(CpuContext&, void* destination, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}
void synchronize(CpuContext&) {}

}  // namespace engine
