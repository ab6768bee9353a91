// NumPy's file of one array (numpy.org/neps/nep-0001-npy-format), version 1.0.
#pragma once

#include <string>

#include "engine/tensor.h"

namespace engine {

// The bytes of a file that numpy.load() reads as an array of this shape, in row-major order: f32, f64, i64 or u8, on
// the CPU.
std::string encode_npy(const Tensor& tensor);

}  // namespace engine
