// A stand-in for the CUDA run-time library, cuBLASLt and cuDNN's handles, for the build that compiles the CUDA kernels
// for the CPU (ENGINE_CUDA=HOST): only the functions that the engine calls. Device memory is host memory, a stream runs
// what it is given at once, and matrix products are computed by plain loops from the descriptors the engine made, so
// that a wrong stride, order or pointer gives a wrong result. Faults can be planted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace engine::fake_cuda {

// What goes wrong; all off at first.
struct Faults {
  int devices = 1;              // 0: cudaErrorNoDevice
  int driver_status = 0;        // a cudaError_t that every query of the device answers
  int64_t fail_allocation = 0;  // the n-th allocation from now fails with cudaErrorMemoryAllocation; 0: none
  int sticky_status = 0;        // a cudaError_t that every later call answers, as after a fault in a kernel
  bool no_matmul_algorithm = false;
  bool no_bias_gradient = false;    // cuBLASLt has no algorithm that also computes the gradient of a bias
  std::string wrong_convolution{};  // "KEY => ENGINE" of cuDNN: gives a wrong result, in the least time
  int compute_capability = 90;
};
Faults& faults();

// Bytes of device memory that are allocated now, and allocations since the start.
size_t allocated_bytes();
int64_t allocations();

// Runs `work` now or, while a stream is being captured, records it into the graph.
void submit(std::function<void()> work);
// The made-up clock of events: work tells how long it seems to have taken.
void pass_time(double milliseconds);
// The status that a call with this work has: the planted sticky one, or success.
int status();

}  // namespace engine::fake_cuda
