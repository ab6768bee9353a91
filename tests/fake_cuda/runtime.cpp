#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "tests/fake_cuda/fake_cuda.h"
#include "tests/host_runner/runtime.h"

namespace engine::fake_cuda {
namespace {

[[maybe_unused]] const bool launches_are_recorded = (host_runner::set_submit(submit), true);

using Work = std::vector<std::function<void()>>;

std::mutex mutex;
std::map<const char*, size_t> blocks;  // device memory by address
size_t bytes_now = 0;
int64_t count = 0;
cudaError_t last = cudaSuccess;
Work* capturing = nullptr;
bool capture_spoilt = false;  // by waiting for the stream
double now = 0;               // in milliseconds

cudaError_t result(cudaError_t code) {
  if (code != cudaSuccess) last = code;
  return code;
}
cudaError_t result() { return result(static_cast<cudaError_t>(status())); }

cudaError_t device_status() {
  if (faults().driver_status != 0) return static_cast<cudaError_t>(faults().driver_status);
  return faults().devices == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t allocate(void** memory, size_t bytes) {
  if (result() != cudaSuccess) return result();
  const std::lock_guard lock(mutex);
  ++count;
  if (faults().fail_allocation > 0 && --faults().fail_allocation == 0) return result(cudaErrorMemoryAllocation);
  constexpr size_t kAlignment = 256;
  // The exact size, so that a sanitizer sees an access beyond it; poisoned, so that what was never written reads as
  // NaN.
  void* block = nullptr;
  if (posix_memalign(&block, kAlignment, bytes) != 0) return result(cudaErrorMemoryAllocation);
  std::memset(block, 0xFF, bytes);
  blocks[static_cast<char*>(block)] = bytes;
  bytes_now += bytes;
  *memory = block;
  return cudaSuccess;
}

cudaError_t release(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  const std::lock_guard lock(mutex);
  const auto block = blocks.find(static_cast<char*>(memory));
  if (block == blocks.end()) return result(cudaErrorInvalidValue);
  bytes_now -= block->second;
  blocks.erase(block);
  std::free(memory);
  return cudaSuccess;
}

bool on_device(const void* memory) {
  const std::lock_guard lock(mutex);
  const auto* address = static_cast<const char*>(memory);
  auto block = blocks.upper_bound(address);
  if (block == blocks.begin()) return false;
  --block;
  return address < block->first + block->second || address == block->first;
}

}  // namespace

Faults& faults() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  static Faults instance{.devices = visible != nullptr && *visible == '\0' ? 0 : 1};
  return instance;
}
size_t allocated_bytes() { return bytes_now; }
int64_t allocations() { return count; }
void pass_time(double milliseconds) { now += milliseconds; }
int status() { return faults().sticky_status; }
void submit(std::function<void()> work) {
  if (capturing != nullptr)
    capturing->push_back(std::move(work));
  else
    work();
}

}  // namespace engine::fake_cuda

using namespace engine::fake_cuda;

struct CUgraph_st {
  Work work;
};
struct CUgraphExec_st {
  Work work;
};
struct CUstream_st {};
struct CUevent_st {
  double at = 0;
};

extern "C" {

cudaError_t cudaGetLastError() {
  const cudaError_t code = last;
  last = cudaSuccess;
  return status() != 0 ? static_cast<cudaError_t>(status()) : code;
}
cudaError_t cudaPeekAtLastError() { return status() != 0 ? static_cast<cudaError_t>(status()) : last; }
const char* cudaGetErrorName(cudaError_t) { return "cudaErrorFake"; }
const char* cudaGetErrorString(cudaError_t) { return "planted"; }

cudaError_t cudaGetDeviceCount(int* devices) {
  *devices = faults().devices;
  return result(device_status());
}
cudaError_t cudaSetDevice(int) { return result(device_status()); }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = faults().compute_capability / 10;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = faults().compute_capability % 10;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = engine::host_runner::kMultiprocessors;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = engine::host_runner::kMaxShared;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = 1;
      break;
    default:
      return result(cudaErrorInvalidValue);
  }
  return result(device_status());
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13099;
  return result();
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t*, int) { return result(); }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return result(); }

cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes); }
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t) { return allocate(memory, bytes); }
cudaError_t cudaFree(void* memory) { return release(memory); }
cudaError_t cudaFreeAsync(void* memory, cudaStream_t) { return release(memory); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  *memory = std::malloc(bytes);
  return result();
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return result();
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  *attributes = {};
  attributes->type = on_device(memory) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return result();
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (result() != cudaSuccess) return result();
  submit([=] { std::memmove(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  if (result() != cudaSuccess) return result();
  submit([=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return result();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return result();
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  capture_spoilt = capturing != nullptr;
  return result(capturing ? cudaErrorStreamCaptureUnsupported : last);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return result(); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return result();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return result();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->at = now;
  return result();
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return result(); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = static_cast<float>(0.001 + end->at - begin->at);
  return result();
}
cudaError_t cudaProfilerStart() { return result(); }
cudaError_t cudaProfilerStop() { return result(); }
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  return result();
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return result(); }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads, size_t shared_bytes) {
  *blocks = static_cast<int>(engine::host_runner::resident_blocks(static_cast<unsigned>(threads), shared_bytes));
  return result();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  if (capturing != nullptr) return result(cudaErrorIllegalState);
  capturing = new Work;
  capture_spoilt = false;
  return result();
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* capture) {
  *capture = capturing != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return result();
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  if (capturing == nullptr) return result(cudaErrorIllegalState);
  *graph = new CUgraph_st{std::move(*capturing)};
  delete capturing;
  capturing = nullptr;
  return result(capture_spoilt ? cudaErrorStreamCaptureInvalidated : static_cast<cudaError_t>(status()));
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->work};
  return result();
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return result();
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return result();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  if (result() != cudaSuccess) return result();
  for (const auto& work : executable->work) work();
  return cudaSuccess;
}

// cuDNN itself is the real library, which builds and checks graphs without a device; only its handles need one.
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = reinterpret_cast<cudnnHandle_t>(new char);
  return device_status() == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_INITIALIZED;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete reinterpret_cast<char*>(handle);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; }

}  // extern "C"
