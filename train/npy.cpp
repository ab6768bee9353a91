#include "train/npy.h"

namespace engine {
namespace {

constexpr size_t kAlignment = 64;  // of the elements

const char* descr(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "<f4";
    case DType::f64:
      return "<f8";
    case DType::i64:
      return "<i8";
    case DType::u8:
      return "|u1";
    default:
      throw Error(concat("npy: numpy has no type for ", dtype));
  }
}

}  // namespace

std::string encode_npy(const Tensor& tensor) {
  std::string shape;
  for (int axis = 0; axis < tensor.rank(); ++axis)
    shape += concat(tensor.size(axis), axis + 1 == tensor.rank() ? "" : ", ");
  if (tensor.rank() == 1) shape += ",";
  std::string header =
      concat("{'descr': '", descr(tensor.dtype()), "', 'fortran_order': False, 'shape': (", shape, "), }");
  std::string bytes("\x93NUMPY\x01\x00", 8);
  const size_t before = bytes.size() + 2;
  header.append(kAlignment - 1 - (before + header.size()) % kAlignment, ' ');
  header += '\n';
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(static_cast<const char*>(tensor.memory()), tensor.bytes());
  return bytes;
}

}  // namespace engine
