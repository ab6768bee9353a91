// What one CUDA device needs to run kernels: a stream, library handles, memory, caches of plans.
#pragma once

#include <memory>
#include <typeindex>
#include <unordered_map>

#include "kernels/context.h"
#include "kernels/cuda/check.h"

namespace engine {

class CudaContext {
 public:
  // Throws Error where device `index` cannot be used.
  explicit CudaContext(int index);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  int index() const { return index_; }
  // Everything that a kernel does is queued here, in order.
  cudaStream_t stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  // 10 * major + minor: 90 for Hopper.
  int compute_capability() const { return compute_capability_; }

  // Made at first use.
  cublasLtHandle_t cublaslt();
  cudnnHandle_t cudnn();

  // Stream-ordered: memory given back may be handed out again at once, because whatever used it was queued before. 256
  // bytes aligned; `bytes` may be 0.
  void* allocate(size_t bytes);
  void deallocate(void* memory, size_t bytes) noexcept;
  // Scratch memory of the library call that is queued next; grows, and is the same for all calls.
  void* workspace(size_t bytes);

  // What a kernel file keeps from call to call (plans, descriptors): one T per context, made at first use.
  template <class T>
  T& cache() {
    auto& slot = caches_[std::type_index(typeid(T))];
    if (!slot) slot = std::make_shared<T>();
    return *static_cast<T*>(slot.get());
  }

 private:
  struct CublasDeleter {
    void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
  };
  struct CudnnDeleter {
    void operator()(cudnnHandle_t handle) const { cudnnDestroy(handle); }
  };

  int index_;
  int multiprocessors_ = 0, compute_capability_ = 0;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<std::remove_pointer_t<cublasLtHandle_t>, CublasDeleter> cublaslt_;
  std::unique_ptr<std::remove_pointer_t<cudnnHandle_t>, CudnnDeleter> cudnn_;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
  std::unordered_map<std::type_index, std::shared_ptr<void>> caches_;
};

// Device memory for the length of one kernel call.
class CudaScratch {
 public:
  CudaScratch(CudaContext& ctx, size_t bytes) : ctx_(ctx), bytes_(bytes), memory_(ctx.allocate(bytes)) {}
  ~CudaScratch() { ctx_.deallocate(memory_, bytes_); }
  CudaScratch(const CudaScratch&) = delete;
  CudaScratch& operator=(const CudaScratch&) = delete;
  template <class T>
  T* as() {
    return static_cast<T*>(memory_);
  }
  View view(DType dtype, const Shape& shape) { return View(memory_, dtype, shape); }

 private:
  CudaContext& ctx_;
  size_t bytes_;
  void* memory_;
};

}  // namespace engine
