// cuBLASLt, which is loaded when it is first called: 150 MiB and 50 ms that a program on the CPU does without.
#pragma once

#include <cublasLt.h>

namespace engine {

// Throws Error (kNoDevice) where the library cannot be loaded or has no such function.
void* cublaslt_function(const char* name);

// CUBLASLT(cublasLtCreate)(&handle)
#ifdef ENGINE_CUDA_STAND_INS
#define CUBLASLT(name) name
#else
#define CUBLASLT(name)                                                                                  \
  [] {                                                                                                  \
    static const auto function = reinterpret_cast<decltype(&name)>(::engine::cublaslt_function(#name)); \
    return function;                                                                                    \
  }()
#endif

inline void destroy_cublaslt(cublasLtHandle_t handle) { CUBLASLT(cublasLtDestroy)(handle); }
inline void destroy_product(cublasLtMatmulDesc_t handle) { CUBLASLT(cublasLtMatmulDescDestroy)(handle); }
inline void destroy_layout(cublasLtMatrixLayout_t handle) { CUBLASLT(cublasLtMatrixLayoutDestroy)(handle); }
inline void destroy_preference(cublasLtMatmulPreference_t handle) { CUBLASLT(cublasLtMatmulPreferenceDestroy)(handle); }

}  // namespace engine
