// Checks of calls into CUDA and its libraries: an Error names the call, the code and the place.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "kernels/check.h"

namespace engine {

// Throw Error with the call's text, the code's name and the place; out of device memory ends with exit code 80, a
// missing device or driver with 69, everything else with 70.
[[noreturn]] void throw_cuda(cudaError_t status, const char* call, const char* file, int line);
[[noreturn]] void throw_cublas(cublasStatus_t status, const char* call, const char* file, int line);
[[noreturn]] void throw_cudnn(cudnnStatus_t status, const char* call, const char* file, int line);

// The codes that mean "no usable GPU": no driver, a driver too old, a stub for the driver, no device.
bool means_no_device(cudaError_t status);

#define ENGINE_CUDA(call)                                                        \
  do {                                                                           \
    if (const cudaError_t status_ = (call); status_ != cudaSuccess) [[unlikely]] \
      ::engine::throw_cuda(status_, #call, __FILE__, __LINE__);                  \
  } while (false)

#define ENGINE_CUBLAS(call)                                                                   \
  do {                                                                                        \
    if (const cublasStatus_t status_ = (call); status_ != CUBLAS_STATUS_SUCCESS) [[unlikely]] \
      ::engine::throw_cublas(status_, #call, __FILE__, __LINE__);                             \
  } while (false)

#define ENGINE_CUDNN(call)                                                                  \
  do {                                                                                      \
    if (const cudnnStatus_t status_ = (call); status_ != CUDNN_STATUS_SUCCESS) [[unlikely]] \
      ::engine::throw_cudnn(status_, #call, __FILE__, __LINE__);                            \
  } while (false)

}  // namespace engine
