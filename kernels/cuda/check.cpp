#include "kernels/cuda/check.h"

#include <string_view>

namespace engine {
namespace {

// "cudaMallocAsync(&memory, bytes, ...) at kernels/cuda/context.cpp:41"
std::string place(std::string_view call, std::string_view file, int line) {
  const size_t ours = file.rfind("kernels/cuda/");
  return concat(call.substr(0, call.find('(')), " at ", ours == file.npos ? file : file.substr(ours), ":", line);
}

// The codes that mean "no usable GPU": no driver, a driver too old, a stub for the driver, no device.
bool means_no_device(cudaError_t status) {
  return status == cudaErrorStubLibrary || status == cudaErrorInsufficientDriver || status == cudaErrorNoDevice ||
         status == cudaErrorInvalidDevice || status == cudaErrorSystemDriverMismatch ||
         status == cudaErrorCompatNotSupportedOnDevice || status == cudaErrorDevicesUnavailable;
}

}  // namespace

void check_call(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next check does not report this one again
  if (status == cudaErrorMemoryAllocation)
    throw Error(concat("out of device memory in ", place(call, file, line), "; use a smaller batch or fewer frames"),
                exit_code::kDeviceMemory);
  const std::string text = concat("CUDA error ", static_cast<int>(status), " (", cudaGetErrorName(status), ": ",
                                  cudaGetErrorString(status), ") in ", place(call, file, line));
  if (means_no_device(status)) throw Error(text + "; use --device cpu", exit_code::kNoDevice);
  throw Error(text + "; if a kernel that was queued before is to blame, CUDA_LAUNCH_BLOCKING=1 names it");
}

void check_call(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(concat("cuBLASLt error ", static_cast<int>(status), " (", CUBLASLT(cublasLtGetStatusName)(status),
                     ") in ", place(call, file, line)),
              status == CUBLAS_STATUS_ALLOC_FAILED      ? exit_code::kDeviceMemory
              : status == CUBLAS_STATUS_NOT_INITIALIZED ? exit_code::kNoDevice
                                                        : exit_code::kInternal);
}

void check_call(cudnnStatus_t status, const char* call, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof detail);
  throw Error(concat("cuDNN error ", static_cast<int>(status), " (", cudnnGetErrorString(status), ") in ",
                     place(call, file, line), detail[0] ? ": " : "", detail),
              status == CUDNN_STATUS_NOT_INITIALIZED ? exit_code::kNoDevice : exit_code::kInternal);
}

}  // namespace engine
