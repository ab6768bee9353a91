#include "kernels/cuda/cublaslt.h"

#include <dlfcn.h>

#include "kernels/check.h"

namespace engine {

void* cublaslt_function(const char* name) {
  static void* const library = dlopen(ENGINE_CUBLASLT_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  void* const function = library ? dlsym(library, name) : nullptr;
  if (!function) throw Error(concat("cuBLASLt cannot be used: ", dlerror()), exit_code::kNoDevice);
  return function;
}

}  // namespace engine
