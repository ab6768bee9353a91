// What suites that need a CUDA device, or run on one as well, begin with.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "engine/tensor.h"

namespace engine::test {

inline constexpr Device kCuda{DeviceType::cuda, 0};

// False, with the reason, where there is no CUDA device.
inline bool have_device() {
  if (cuda_available()) return true;
  MESSAGE("skipped: ", cuda_unavailable_reason());
  return false;
}

// The CPU, and CUDA where there is a device.
inline std::vector<Device> devices() {
  return cuda_available() ? std::vector<Device>{kCpu, kCuda} : std::vector<Device>{kCpu};
}

// x on `device`, `offset` elements after the start of its memory.
inline Tensor placed(const Tensor& x, Device device, int64_t offset) {
  const Tensor memory = Tensor::zeros({offset + x.elements()}, x.dtype());
  memory.slice(offset, offset + x.elements()).copy_from(x.reshape({x.elements()}));
  return memory.to(device).slice(offset, offset + x.elements()).reshape(x.shape());
}

}  // namespace engine::test
