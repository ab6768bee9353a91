// What every suite that needs a CUDA device begins with.
#pragma once

#include <doctest/doctest.h>

#include "kernels/context.h"

namespace engine::test {

inline constexpr Device kCuda{DeviceType::cuda, 0};

// False, with the reason, where there is no CUDA device.
inline bool have_device() {
  if (cuda_available()) return true;
  MESSAGE("skipped: ", cuda_unavailable_reason());
  return false;
}

}  // namespace engine::test
