// What no program gets past on a device, measured.
#pragma once

#include "engine/tensor.h"

namespace engine {

struct Ceilings {
  double bytes_per_second = 0;  // copying memory that no cache holds, reads and writes counted
  double flop_per_second = 0;   // a product of square matrices
  double op_seconds = 0;        // an op on one element: what a call costs
};

// Takes about a second. `dtype`: f32 or bf16. `quick`: on little memory and once, to see that it runs.
Ceilings measure_ceilings(Device device, DType dtype, bool quick = false);

}  // namespace engine
