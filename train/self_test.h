// What a machine computes, held against what is known: a few seconds that show a broken library, processor or device.
#pragma once

#include <string>
#include <vector>

#include "engine/tensor.h"

namespace engine {

struct SelfCheck {
  std::string name;  // "products of integers"
  bool passed = false;
  std::string found;  // "24 of 24 exact", or what is wrong
};

// Matrix products and convolutions of small integers, whose sums f32 holds exactly, against the same in 64-bit
// integers; ten steps of training, twice for the same bytes, and against losses that are known.
std::vector<SelfCheck> self_test(Device device);

}  // namespace engine
