// Ownership of the handles of CUDA's C interfaces.
#pragma once

#include <utility>

#include "kernels/cuda/check.h"

namespace engine {

// Calls kDestroy(handle) at the end; empty where the handle is null.
template <class Handle, auto kDestroy>
class Owned {
 public:
  Owned() = default;
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (handle_ != nullptr) kDestroy(handle_);
  }

  Handle get() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }
  // For calls that create: cudaStreamCreate(stream.receive()). The handle must be empty.
  Handle* receive() { return &handle_; }

 private:
  Handle handle_ = nullptr;
};

using CudaStream = Owned<cudaStream_t, cudaStreamDestroy>;
using CudaEvent = Owned<cudaEvent_t, cudaEventDestroy>;
using CudaGraph = Owned<cudaGraph_t, cudaGraphDestroy>;
using CudaGraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;
using PinnedMemory = Owned<void*, cudaFreeHost>;
using DeviceMemory = Owned<void*, cudaFree>;
using CublasLt = Owned<cublasLtHandle_t, destroy_cublaslt>;
using Cudnn = Owned<cudnnHandle_t, cudnnDestroy>;

}  // namespace engine
