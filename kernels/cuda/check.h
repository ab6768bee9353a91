// Checks of calls into CUDA and its libraries: an Error names the call, the code and the place.
#pragma once

#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "kernels/check.h"
#include "kernels/cuda/cublaslt.h"

namespace engine {

// Throw Error with the call's text, the code's name and the place where the call failed; out of device memory ends with
// exit code 80, a missing device or driver with 69, everything else with 70.
void check_call(cudaError_t status, const char* call, const char* file, int line);
void check_call(cublasStatus_t status, const char* call, const char* file, int line);
void check_call(cudnnStatus_t status, const char* call, const char* file, int line);

#define ENGINE_CUDA(call) ::engine::check_call(call, #call, __FILE__, __LINE__)

}  // namespace engine
