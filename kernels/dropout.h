// Dropout (Srivastava et al., JMLR 15, 2014) with a mask that is drawn again instead of stored: a pure function of
// (key, step, stream, element), so forward and backward, every device and every number of threads see the same one.
#pragma once

#include "kernels/context.h"

namespace engine {

struct Dropout {
  double probability = 0;  // 0 <= p < 1
  uint64_t key = 0;
  uint32_t stream = 0;
};

// The key is the seed with this in it, so that masks have nothing in common with Random(seed, ...) (engine/random.h).
inline constexpr uint64_t kDropoutKey = 0x64726f706f757473u;

// y[i] = 0 where u < p, else x[i] / (1 - p), with u = uniform_float(bits), bits = word i % 4 of
// philox(key, {i / 4, low half of step, high half of step, stream}) (kernels/philox.h). `step`: one i64, read when the
// kernel runs. x, y: one shape and float type, contiguous; y may be x; fewer than 2^34 elements. It is its own
// backward: dx from dy with the same parameters and step.
ENGINE_KERNEL(dropout, const Dropout& p, ConstView step, ConstView x, View y);

}  // namespace engine
