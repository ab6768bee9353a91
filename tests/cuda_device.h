// What every suite that needs a CUDA device begins with.
#pragma once

#include <doctest/doctest.h>

#include "engine/tensor.h"

namespace engine::test {

inline constexpr Device kCuda{DeviceType::cuda, 0};

// False, with the reason, where there is no CUDA device.
inline bool have_device() {
  if (cuda_available()) return true;
  MESSAGE("skipped: ", cuda_unavailable_reason());
  return false;
}

// x on `device`, `offset` elements after the start of its memory.
inline Tensor placed(const Tensor& x, Device device, int64_t offset) {
  const Tensor memory = Tensor::zeros({offset + x.elements()}, x.dtype());
  memory.slice(offset, offset + x.elements()).copy_from(x.reshape({x.elements()}));
  return memory.to(device).slice(offset, offset + x.elements()).reshape(x.shape());
}

}  // namespace engine::test
