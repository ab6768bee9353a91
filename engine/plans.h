// kernels/plans.h by device.
#pragma once

#include "engine/tensor.h"
#include "kernels/plans.h"

namespace engine {

inline std::string chosen_plans(Device device) {
  return on(device, [](auto& ctx) { return chosen_plans(ctx); });
}
inline void use_plans(Device device, const std::string& text) {
  on(device, [&](auto& ctx) { use_plans(ctx, text); });
}

}  // namespace engine
