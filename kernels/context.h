// Where kernels run. A context owns what one device needs (threads, streams, handles, workspace, cached plans); every
// kernel is an overload on the type of its context, and on() picks the context of a device.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/view.h"

namespace engine {

#ifdef ENGINE_WITH_CUDA
inline constexpr bool kWithCuda = true;
#else
inline constexpr bool kWithCuda = false;
#endif

class CpuContext;
class CudaContext;

// Declares a kernel, which computes the same on either device:
//   ENGINE_KERNEL(softmax_forward, Softmax kind, ConstView x, View y);
// is void softmax_forward(CpuContext& ctx, Softmax kind, ConstView x, View y); and the same of CudaContext.
#define ENGINE_KERNEL(name, ...)           \
  void name(CpuContext& ctx, __VA_ARGS__); \
  void name(CudaContext& ctx, __VA_ARGS__)

CpuContext& cpu_context();
// Everything on CudaContext is defined only in a build with CUDA. Throws Error (exit code 69) where there is no such
// device.
CudaContext& cuda_context(int index);

// True where kernels can run on a CUDA device: built with CUDA, a driver, a device.
bool cuda_available();
// The one sentence that says why cuda_available() is false; empty where it is true.
std::string cuda_unavailable_reason();

// Threads that kernels on the CPU use; at first what OpenMP decides (OMP_NUM_THREADS, else one per core).
int cpu_threads();
void set_cpu_threads(int count);
// Version of the oneDNN in use, for example "2.6.3".
std::string onednn_version();

// Calls f with the context of `device`. In a build without CUDA the body is never instantiated for CudaContext, so no
// CUDA symbol is referenced.
template <class F>
decltype(auto) on(Device device, F&& f) {
  if (device.type == DeviceType::cpu) return f(cpu_context());
  if constexpr (kWithCuda) {
    return f(cuda_context(device.index));
  } else {
    throw Error(concat("device ", device, ": ", cuda_unavailable_reason(), "; use --device cpu"), exit_code::kNoDevice);
  }
}

// Whether ops compute. While they do not on a thread, they check their inputs, take memory and record gradients as
// ever, which tells how much a network takes, in no time.
inline thread_local bool ops_compute = true;

// Calls f, which calls kernels, with the context of `device` if ops compute.
template <class F>
void compute(Device device, F&& f) {
  if (ops_compute) on(device, f);
}

// What f32 matrix products and convolutions on CUDA compute with: strict f32, or tf32, whose factors are rounded to 10
// bits of mantissa and which runs on tensor cores. The CPU is always strict. At first strict.
enum class F32Products : uint8_t { strict, tf32 };
F32Products f32_products();
void set_f32_products(F32Products mode);

// Memory of a device, aligned to 64 bytes at least, contents undefined. `bytes` may be 0.
void* allocate(Device device, size_t bytes);
void* allocate(CpuContext& ctx, size_t bytes);
void* allocate(CudaContext& ctx, size_t bytes);
// Gives memory back; `bytes` as given to allocate(). Never throws.
void deallocate(Device device, void* memory, size_t bytes) noexcept;
void deallocate(CpuContext& ctx, void* memory, size_t bytes) noexcept;
void deallocate(CudaContext& ctx, void* memory, size_t bytes) noexcept;
// Copies between devices (or within one); returns when the source may be reused.
void copy_bytes(Device to, void* destination, Device from, const void* source, size_t bytes);
// The same in the queue of one context; on CUDA either side may be host memory, and then it waits for the copy.
void copy_bytes(CpuContext& ctx, void* destination, const void* source, size_t bytes);
void copy_bytes(CudaContext& ctx, void* destination, const void* source, size_t bytes);
// Waits for everything queued on the device.
void synchronize(Device device);
void synchronize(CpuContext& ctx);
void synchronize(CudaContext& ctx);
// Why no CUDA device can be used, found by asking the driver; empty where one can. Defined only in a build with CUDA.
std::string cuda_device_fault();

}  // namespace engine
