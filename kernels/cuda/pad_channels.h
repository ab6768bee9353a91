// Channels padded with zeros.
#pragma once

#include "kernels/cuda/context.h"

namespace engine {

// y (..., 8) = x (..., C) followed by zeros, C <= 8; bf16, contiguous, y aligned to 16 bytes.
void pad_channels(CudaContext& ctx, ConstView x, View y);

}  // namespace engine
