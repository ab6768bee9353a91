// The numbers of make_fixtures.py, bit by bit, and its files.
#pragma once

#include <cmath>
#include <map>
#include <string>

#include "engine/random.h"
#include "io/safetensors.h"

namespace engine::parity {

// f64 in [-1, 1): number i is splitmix64 of the name's hash, i + 1 steps on.
inline Tensor draws(const std::string& name, const Shape& shape) {
  const Tensor result = Tensor::empty(shape, DType::f64);
  uint64_t state = stream_of(name);
  for (double& value : result.values<double>()) {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    value = static_cast<double>(z >> 11) * 0x1p-52 - 1;
  }
  return result;
}

// The starting value of a parameter or a buffer, f64, of PyTorch's shape: activations stay about 1, norms and variances
// are positive.
inline Tensor parameter(const std::string& name, const Shape& shape) {
  const Tensor result = draws(name, shape);
  double scale = 0.1, shift = 0;
  if (shape.rank() >= 2)
    scale = std::sqrt(6.0 / static_cast<double>(shape.elements(1, shape.rank())));
  else if (name.ends_with("running_var"))
    scale = 0.5, shift = 1;
  else if (name.ends_with("weight"))
    scale = 0.25, shift = 0.5;
  for (double& value : result.values<double>()) value = shift + scale * value;
  return result;
}

// A file of this folder.
inline std::map<std::string, Tensor> fixture(const std::string& name) {
  const std::string path = ENGINE_SOURCE_DIR "/tests/parity/" + name + ".safetensors";
  std::map<std::string, Tensor> tensors;
  for (const auto& [key, tensor] : read_safetensors(path, "fixture").tensors) tensors[key] = tensor;
  return tensors;
}

}  // namespace engine::parity
