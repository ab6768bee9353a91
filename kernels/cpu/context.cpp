#include "kernels/cpu/context.h"

#include <immintrin.h>
#include <malloc.h>
#include <omp.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernels/profile.h"

namespace engine {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kGuard = 64;  // bytes before and after an allocation in checking mode
constexpr unsigned char kGuardByte = 0xA5;
constexpr unsigned char kPoisonByte = 0xFF;  // every float type reads this as NaN, i64 as -1

std::atomic<int64_t> bytes_in_use = 0;

bool intact(const unsigned char* guard) {
  return std::all_of(guard, guard + kGuard, [](unsigned char byte) { return byte == kGuardByte; });
}

}  // namespace

int64_t cpu_bytes_in_use() { return bytes_in_use; }

CpuContext::CpuContext() {
  mallopt(M_MMAP_MAX, 0);  // everything from the heap, which does not shrink
  mallopt(M_TRIM_THRESHOLD, -1);
}

void* CpuContext::allocate(size_t bytes) {
  const size_t guards = checking_ ? 2 * kGuard : 0;
  auto* const block = static_cast<unsigned char*>(std::malloc(bytes + guards + kAlignment + sizeof(void*)));
  if (!block)
    throw Error(concat("out of memory: asked for ", bytes >> 20, " MiB; use a smaller batch or fewer frames"),
                exit_code::kMemory);
  bytes_in_use += static_cast<int64_t>(bytes);
  const size_t past = reinterpret_cast<uintptr_t>(block + sizeof(void*)) % kAlignment;
  unsigned char* const memory = block + sizeof(void*) + (kAlignment - past) % kAlignment;
  std::memcpy(memory - sizeof(void*), &block, sizeof(void*));  // for deallocate()
  if (!checking_) return memory;
  std::memset(memory, kGuardByte, kGuard);
  std::memset(memory + kGuard, kPoisonByte, bytes);
  std::memset(memory + kGuard + bytes, kGuardByte, kGuard);
  return memory + kGuard;
}

void CpuContext::deallocate(void* memory, size_t bytes) noexcept {
  if (!memory) return;
  bytes_in_use -= static_cast<int64_t>(bytes);
  auto* data = static_cast<unsigned char*>(memory);
  if (checking_) {
    if (!intact(data - kGuard) || !intact(data + bytes)) ++guard_violations_;
    data -= kGuard;
  }
  void* block = nullptr;
  std::memcpy(&block, data - sizeof(void*), sizeof(void*));
  std::free(block);
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
