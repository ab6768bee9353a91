#include "kernels/cuda/context.h"

#include <array>
#include <mutex>

#include "kernels/cuda/profile.h"

namespace engine {
namespace {

constexpr int kMostDevices = 16;
constexpr int kOldestCompute = 80;  // bf16 tensor cores

}  // namespace

std::string cuda_device_fault() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver || status == cudaErrorStubLibrary)
    return "no NVIDIA driver for this build's CUDA version was found (nvidia-smi tells what is installed)";
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) return "this machine shows no CUDA device";
  if (status != cudaSuccess)
    return concat("the CUDA driver failed with error ", static_cast<int>(status), " (", cudaGetErrorName(status), ")");
  return {};
}

CudaContext& cuda_context(int index) {
  static std::mutex mutex;
  static std::array<CudaContext*, kMostDevices> contexts{};  // never destroyed, like the CPU's
  thread_local int current = -1;
  if (current == index) return *contexts[static_cast<size_t>(index)];
  ENGINE_CHECK(index >= 0 && index < kMostDevices, "device cuda:", index, ": device numbers run from 0 to ",
               kMostDevices - 1);
  const std::lock_guard lock(mutex);
  CudaContext*& context = contexts[static_cast<size_t>(index)];
  if (context == nullptr) context = new CudaContext(index);
  ENGINE_CUDA(cudaSetDevice(index));
  profile_by_nvtx();
  current = index;
  return *context;
}

CudaContext::CudaContext(int index) : index_(index) {
  const auto refuse = [index](const auto&... why) {
    throw Error(concat("device cuda:", index, ": ", why...), exit_code::kNoDevice);
  };
  if (const std::string fault = cuda_device_fault(); !fault.empty()) refuse(fault, "; use --device cpu");
  int count = 0;
  ENGINE_CUDA(cudaGetDeviceCount(&count));
  if (index >= count)
    refuse("this machine has ", count, " CUDA device", count == 1 ? "" : "s", "; the last one is cuda:", count - 1);
  ENGINE_CUDA(cudaSetDevice(index));
  compute_capability_ =
      10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor);
  if (compute_capability_ < kOldestCompute)
    refuse("compute capability ", compute_capability_ / 10, ".", compute_capability_ % 10,
           " is older than 8.0; use --device cpu");
  multiprocessors_ = attribute(cudaDevAttrMultiProcessorCount);
  ENGINE_CUDA(cudaStreamCreateWithFlags(stream_.receive(), cudaStreamNonBlocking));
  // Memory that is given back stays with the process: handing it to the system and asking again costs milliseconds.
  cudaMemPool_t pool = nullptr;
  ENGINE_CUDA(cudaDeviceGetDefaultMemPool(&pool, index));
  uint64_t threshold = UINT64_MAX;
  ENGINE_CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
}

int CudaContext::attribute(cudaDeviceAttr which) const {
  int value = 0;
  ENGINE_CUDA(cudaDeviceGetAttribute(&value, which, index_));
  return value;
}

RecordedMemory::~RecordedMemory() {
  ctx.forget(*this);
  for (const auto& [memory, bytes] : blocks) cudaFree(memory);
}

void* RecordedMemory::allocate(size_t bytes) {
  constexpr size_t kAlignment = 256;
  const size_t size = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  if (const auto kept = free.find(size); kept != free.end() && !kept->second.empty()) {
    void* const memory = kept->second.back();
    kept->second.pop_back();
    return memory;
  }
  void* memory = nullptr;
  ENGINE_CUDA(cudaMalloc(&memory, size));
  blocks[memory] = size;
  return memory;
}

cublasLtHandle_t CudaContext::cublaslt() {
  if (!cublaslt_) ENGINE_CUDA(CUBLASLT(cublasLtCreate)(cublaslt_.receive()));
  return cublaslt_.get();
}

cudnnHandle_t CudaContext::cudnn() {
  if (!cudnn_) {
    ENGINE_CUDA(cudnnCreate(cudnn_.receive()));
    ENGINE_CUDA(cudnnSetStream(cudnn_.get(), stream()));
  }
  return cudnn_.get();
}

void* CudaContext::allocate(size_t bytes) {
  void* memory = nullptr;
  if (recording_) {
    memory = recording_->allocate(bytes);
    recorded_blocks_[memory] = recording_;
    return memory;
  }
  ENGINE_CUDA(cudaMallocAsync(&memory, bytes > 0 ? bytes : 1, stream()));
  return memory;
}

void CudaContext::deallocate(void* memory, size_t) noexcept {
  if (memory == nullptr) return;
  if (const auto block = recorded_blocks_.find(memory); block != recorded_blocks_.end()) {
    RecordedMemory& owner = *block->second;
    owner.free[owner.blocks.at(memory)].push_back(memory);
  } else if (recording_) {
    recording_->released.push_back(memory);  // a free that is recorded would be done at every replay
  } else {
    cudaFreeAsync(memory, stream());
  }
}

void CudaContext::begin_recording(RecordedMemory& memory) {
  ENGINE_CHECK(!recording_, "record_work: the device is recording already");
  recording_ = &memory;
}

void CudaContext::end_recording() {
  RecordedMemory& recorded = *std::exchange(recording_, nullptr);
  for (void* memory : recorded.released) deallocate(memory, 0);
  recorded.released.clear();
}

void CudaContext::forget(const RecordedMemory& memory) {
  std::erase_if(recorded_blocks_, [&](const auto& block) { return block.second == &memory; });
}

void* CudaContext::workspace(size_t bytes) {
  if (recording_) {
    if (bytes > recording_->workspace_bytes) {
      recording_->workspace = recording_->allocate(bytes);
      recording_->workspace_bytes = bytes;
    }
    return recording_->workspace;
  }
  if (bytes > workspace_bytes_) {
    void* const larger = allocate(bytes);
    if (workspace_ != nullptr) deallocate(workspace_, workspace_bytes_);
    workspace_ = larger;
    workspace_bytes_ = bytes;
  }
  return workspace_;
}

void* allocate(CudaContext& ctx, size_t bytes) { return ctx.allocate(bytes); }
void deallocate(CudaContext& ctx, void* memory, size_t bytes) noexcept { ctx.deallocate(memory, bytes); }

void copy_bytes(CudaContext& ctx, void* destination, const void* source, size_t bytes) {
  if (bytes == 0) return;
  ENGINE_CUDA(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, ctx.stream()));
  const auto on_host = [](const void* memory) {
    cudaPointerAttributes attributes{};
    ENGINE_CUDA(cudaPointerGetAttributes(&attributes, memory));
    return attributes.type == cudaMemoryTypeUnregistered || attributes.type == cudaMemoryTypeHost;
  };
  if (on_host(destination) || on_host(source)) synchronize(ctx);
}

void synchronize(CudaContext& ctx) { ENGINE_CUDA(cudaStreamSynchronize(ctx.stream())); }

}  // namespace engine
