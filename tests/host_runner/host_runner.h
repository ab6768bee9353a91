// Lets a CUDA kernel file be compiled as plain C++ and run on the CPU, thread by thread; see README.md. Put before the
// file with -include, so that kernels/cuda/device.h finds its macros defined.
#pragma once

#define ENGINE_HOST_RUNNER 1

// NVIDIA's own headers give the vector types, bf16 and the types of the run-time interface; without nvcc their
// __global__, __device__ and __constant__ are empty. They come first: what they declare must not meet our macros.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "runtime.h"

#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ _Pragma("GCC error \"the host runner needs SHARED(T, name, [n]) instead of __shared__ T name[n]\"")

// SHARED(float, tile, [32][33]) stands for __shared__ float tile[32][33]. The address of the static names the variable:
// it is one for every instantiation of a template, and not const, lest equal constants are merged.
#define SHARED(T, name, ...)                 \
  using name##_shared = T __VA_ARGS__;       \
  static char name##_key;                    \
  auto& name = *static_cast<name##_shared*>( \
      ::engine::host_runner::shared_variable(&name##_key, sizeof(name##_shared), alignof(name##_shared)))

#define SHARED_DYN(T, name) T* name = static_cast<T*>(::engine::host_runner::dynamic_shared_memory())

// Template arguments are written out; with a comma in them, the kernel stands in parentheses: LAUNCH((k<T, 4>), ...).
#define LAUNCH(kernel, grid, block, smem_bytes, stream, ...) \
  ENGINE_LAUNCH(false, kernel, grid, block, smem_bytes, stream __VA_OPT__(, ) __VA_ARGS__)
// The blocks run at once and may meet in grid_barrier().
#define LAUNCH_COOPERATIVE(kernel, grid, block, smem_bytes, stream, ...) \
  ENGINE_LAUNCH(true, kernel, grid, block, smem_bytes, stream __VA_OPT__(, ) __VA_ARGS__)
#define ENGINE_LAUNCH(cooperative, kernel, grid, block, smem_bytes, stream, ...)                                       \
  (static_cast<void>(stream),                                                                                          \
   ::engine::host_runner::launch({#kernel, ::engine::host_runner::Place::here(), ::engine::host_runner::extent(grid),  \
                                  ::engine::host_runner::extent(block), static_cast<size_t>(smem_bytes), cooperative}, \
                                 kernel __VA_OPT__(, ) __VA_ARGS__))

#include "device_functions.h"
