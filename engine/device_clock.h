// kernels/device_clock.h by device.
#pragma once

#include "engine/tensor.h"
#include "kernels/device_clock.h"

namespace engine {

inline std::unique_ptr<DeviceClock> make_clock(Device device) {
  return on(device, [](auto& ctx) { return make_clock(ctx); });
}

}  // namespace engine
