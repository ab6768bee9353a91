// Safetensors files for the tests: well-formed ones, and bytes put together by hand.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

#include "io/safetensors.h"

namespace engine::fixtures {

inline void put(const std::string& path, std::string_view bytes) {
  ::unlink(path.c_str());  // some file systems flush a file that replaces its content, which takes long
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string length_of(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

// A file with this header as it stands and so many bytes of data.
inline std::string file_with(const std::string& header, size_t data_bytes) {
  return length_of(header.size()) + header + std::string(data_bytes, '\1');
}

inline std::string_view bytes_of(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.memory()), tensor.bytes()};
}

inline bool equal(const TensorFile& a, const TensorFile& b) {
  const auto same = [](const NamedTensor& x, const NamedTensor& y) {
    return x.name == y.name && x.tensor.shape() == y.tensor.shape() && x.tensor.dtype() == y.tensor.dtype() &&
           bytes_of(x.tensor) == bytes_of(y.tensor);
  };
  return a.metadata == b.metadata && std::ranges::equal(a.tensors, b.tensors, same);
}

// Every type, a scalar, an empty tensor and all six axes, in the order in which they are written.
inline TensorFile sample() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  TensorFile file;
  file.metadata = {{"framework", "engine"}, {"quote\"", "line\n\u00e9"}};
  file.tensors = {{"steps", Tensor::from<int64_t>({-1, int64_t{1} << 62})},
                  {"d", Tensor::from<double>({nan, -0.0, 1e-310})},
                  {"empty", Tensor::empty({0, 3})},
                  {"fc.w", Tensor::from<float>({1.5f, -2, 3, std::numeric_limits<float>::infinity()}).reshape({2, 2})},
                  {"h", Tensor::from<bf16>({bf16(1.25f), bf16(-3)})},
                  {"pixels", Tensor::full({1, 1, 2, 1, 3, 1}, 200, DType::u8)},
                  {"scalar", Tensor::full({}, 9, DType::u8)}};
  return file;
}

}  // namespace engine::fixtures
