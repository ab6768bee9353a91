#include "kernels/context.h"

#include <atomic>

namespace engine {
namespace {

std::atomic<F32Products> products{F32Products::strict};

}  // namespace

bool cuda_available() { return cuda_unavailable_reason().empty(); }

std::string cuda_unavailable_reason() {
  if constexpr (kWithCuda) {
    return cuda_device_fault();
  } else {
    return "this build has no CUDA backend";
  }
}

F32Products f32_products() { return products; }
void set_f32_products(F32Products mode) { products = mode; }

void* allocate(Device device, size_t bytes) {
  return on(device, [&](auto& ctx) { return allocate(ctx, bytes); });
}

void deallocate(Device device, void* memory, size_t bytes) noexcept {
  on(device, [&](auto& ctx) { deallocate(ctx, memory, bytes); });
}

void copy_bytes(Device to, void* destination, Device from, const void* source, size_t bytes) {
  if (to != from && to != kCpu && from != kCpu) synchronize(from);
  on(to == kCpu ? from : to, [&](auto& ctx) { copy_bytes(ctx, destination, source, bytes); });
}

void synchronize(Device device) {
  on(device, [](auto& ctx) { synchronize(ctx); });
}

}  // namespace engine
