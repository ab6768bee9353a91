// What one CUDA device needs to run kernels: a stream, library handles, memory, caches of plans.
#pragma once

#include <map>
#include <memory>
#include <typeindex>
#include <unordered_map>
#include <vector>

#include "kernels/cuda/owned.h"
#include "kernels/scratch.h"

namespace engine {

// The memory of a recording (kernels/recording.h): blocks that are handed out again within it, and live as long as it.
struct RecordedMemory {
  std::unordered_map<void*, size_t> blocks;   // all, with their size
  std::map<size_t, std::vector<void*>> free;  // by size
  std::vector<void*> released;                // of the ordinary kind, given back while recording
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  CudaContext& ctx;

  explicit RecordedMemory(CudaContext& context) : ctx(context) {}
  ~RecordedMemory();
  void* allocate(size_t bytes);
};

class CudaContext {
 public:
  // Throws Error where device `index` cannot be used.
  explicit CudaContext(int index);

  int index() const { return index_; }
  // Everything that a kernel does is queued here, in order.
  cudaStream_t stream() const { return stream_.get(); }
  int multiprocessors() const { return multiprocessors_; }
  // 10 * major + minor: 90 for Hopper.
  int compute_capability() const { return compute_capability_; }
  // What the driver says of the device.
  int attribute(cudaDeviceAttr which) const;

  // Made at first use.
  cublasLtHandle_t cublaslt();
  cudnnHandle_t cudnn();

  // Stream-ordered: memory given back may be handed out again at once, because whatever used it was queued before. 256
  // bytes aligned; `bytes` may be 0.
  void* allocate(size_t bytes);
  void deallocate(void* memory, size_t bytes) noexcept;
  // Scratch memory of the library call that is queued next; grows, and is the same for all calls.
  void* workspace(size_t bytes);

  // From here on memory is taken from `memory`, until end_recording(). Blocks of it that are given back later stay
  // there.
  void begin_recording(RecordedMemory& memory);
  void end_recording();
  // The recording is gone.
  void forget(const RecordedMemory& memory);

  // What a kernel file keeps from call to call (plans, descriptors): one T per context, made at first use.
  template <class T>
  T& cache() {
    auto& slot = caches_[std::type_index(typeid(T))];
    if (!slot) slot = std::make_shared<T>();
    return *static_cast<T*>(slot.get());
  }

 private:
  int index_;
  int multiprocessors_ = 0, compute_capability_ = 0;
  CudaStream stream_;
  CublasLt cublaslt_;
  Cudnn cudnn_;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
  RecordedMemory* recording_ = nullptr;
  std::unordered_map<void*, RecordedMemory*> recorded_blocks_;
  std::unordered_map<std::type_index, std::shared_ptr<void>> caches_;
};

using CudaScratch = ScratchMemory<CudaContext>;

}  // namespace engine
