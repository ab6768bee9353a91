// The value types that every layer shares: element types, devices, shapes.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <type_traits>

#include "kernels/check.h"

namespace engine {

// A base of what is neither copied nor moved.
struct NonCopyable {
  NonCopyable() = default;
  NonCopyable(const NonCopyable&) = delete;
  NonCopyable& operator=(const NonCopyable&) = delete;
};

enum class DType : uint8_t { f32, f64, bf16, u8, i64 };

inline constexpr std::array kAllDTypes = {DType::f32, DType::f64, DType::bf16, DType::u8, DType::i64};

constexpr int64_t size_of(DType dtype) {
  constexpr std::array<int64_t, 5> kBytes = {4, 8, 2, 1, 8};
  return kBytes[static_cast<size_t>(dtype)];
}

constexpr const char* name_of(DType dtype) {
  constexpr std::array kNames = {"f32", "f64", "bf16", "u8", "i64"};
  return kNames[static_cast<size_t>(dtype)];
}

constexpr bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16; }

// The type of statistics, sums, losses and the norms' weights where tensors have this float type.
constexpr DType wide_type(DType dtype) { return dtype == DType::bf16 ? DType::f32 : dtype; }

inline std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name_of(dtype); }

// The upper half of an IEEE float. Conversion from float rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
struct bf16 {
  uint16_t bits = 0;
  bf16() = default;
  explicit bf16(float value) {
    const auto word = std::bit_cast<uint32_t>(value);
    const bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? static_cast<uint16_t>((word >> 16) | 0x40u)
                  : static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
  explicit operator double() const { return static_cast<float>(*this); }
  explicit operator int64_t() const { return static_cast<int64_t>(static_cast<float>(*this)); }
};

// The DType of a C++ type.
template <class T>
extern const DType dtype_of;
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<bf16> = DType::bf16;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::u8;
template <>
inline constexpr DType dtype_of<int64_t> = DType::i64;

// bf16 (a device's as well) converts by way of float; everything else converts directly.
template <class To, class From>
constexpr To convert(From value) {
  if constexpr (std::is_same_v<To, From>)
    return value;
  else if constexpr (std::is_arithmetic_v<To> && std::is_arithmetic_v<From>)
    return static_cast<To>(value);
  else
    return static_cast<To>(static_cast<float>(value));
}

// Calls f.operator()<T>() with the C++ type of `dtype`.
template <class F>
decltype(auto) dispatch_all(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f.template operator()<float>();
    case DType::f64:
      return f.template operator()<double>();
    case DType::bf16:
      return f.template operator()<bf16>();
    case DType::u8:
      return f.template operator()<uint8_t>();
    case DType::i64:
      return f.template operator()<int64_t>();
  }
  throw Error("dispatch_all: unknown dtype");
}

// The two types that CPU kernels compute in: f32, and f64 for the reference.
template <class F>
decltype(auto) dispatch_float(DType dtype, F&& f) {
  if (dtype == DType::f32) return f.template operator()<float>();
  if (dtype == DType::f64) return f.template operator()<double>();
  throw Error(concat("this kernel computes in f32 or f64, not in ", dtype));
}

// Calls f.operator()<true>() or <false>().
template <class F>
decltype(auto) dispatch_bool(bool value, F&& f) {
  return value ? f.template operator()<true>() : f.template operator()<false>();
}

enum class DeviceType : uint8_t { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

inline constexpr Device kCpu{};

inline std::ostream& operator<<(std::ostream& out, Device device) {
  if (device.type == DeviceType::cpu) return out << "cpu";
  return out << "cuda:" << device.index;
}

// The sizes of a tensor's axes, outermost first. Rank 0 is a scalar with one element; sizes may be 0.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) : Shape(sizes.begin(), sizes.end()) {}
  template <class Iterator>
  Shape(Iterator first, Iterator last) {
    for (; first != last; ++first) push_back(*first);
  }

  int rank() const { return rank_; }
  // Axis -1 is the innermost.
  int64_t operator[](int axis) const { return sizes_[static_cast<size_t>(resolve(axis))]; }
  int64_t& operator[](int axis) { return sizes_[static_cast<size_t>(resolve(axis))]; }
  const int64_t* begin() const { return sizes_.data(); }
  const int64_t* end() const { return sizes_.data() + rank_; }

  void push_back(int64_t size) {
    ENGINE_CHECK(rank_ < kMaxRank, "shape: at most ", kMaxRank, " axes");
    ENGINE_CHECK(size >= 0, "shape: size ", size, " of axis ", rank_, " is negative");
    sizes_[static_cast<size_t>(rank_++)] = size;
  }
  // The axes [first, last); axes may not be negative here.
  Shape slice(int first, int last) const { return Shape(begin() + first, begin() + last); }
  int64_t elements() const { return elements(0, rank_); }
  // The product of the sizes of axes [first, last).
  int64_t elements(int first, int last) const {
    int64_t product = 1;
    for (int axis = first; axis < last; ++axis) product *= sizes_[static_cast<size_t>(axis)];
    return product;
  }
  // The index from 0 of an axis that may be given from the end.
  int resolve(int axis) const {
    const int resolved = axis < 0 ? axis + rank_ : axis;
    ENGINE_CHECK(resolved >= 0 && resolved < rank_, "shape: axis ", axis, " of a tensor with ", rank_, " axes");
    return resolved;
  }
  auto operator<=>(const Shape&) const = default;

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << "(";
  for (int axis = 0; axis < shape.rank(); ++axis) out << (axis ? "," : "") << shape[axis];
  return out << ")";
}

// The strides, in elements, of a contiguous tensor of this shape.
inline Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t stride = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

}  // namespace engine
