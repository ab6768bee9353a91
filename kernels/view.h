// What a kernel sees of a tensor: where it is, its type, shape and strides. No ownership.
#pragma once

#include "kernels/types.h"

namespace engine {

// Read-only memory. A view without memory (data == nullptr) stands for an optional argument that is not given.
struct ConstView {
  const void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
  Shape strides;  // in elements

  ConstView() = default;
  ConstView(const void* memory, DType type, const Shape& sizes)
      : ConstView(memory, type, sizes, contiguous_strides(sizes)) {}
  ConstView(const void* memory, DType type, const Shape& sizes, const Shape& steps)
      : data(memory), dtype(type), shape(sizes), strides(steps) {}

  bool defined() const { return data != nullptr; }
  int64_t elements() const { return shape.elements(); }
  bool contiguous() const {
    int64_t stride = 1;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      if (shape[axis] != 1 && strides[axis] != stride) return false;
      stride *= shape[axis];
    }
    return true;
  }
  template <class T>
  const T* as() const {
    ENGINE_CHECK(dtype == dtype_of<T>, "view: memory of ", dtype, " read as ", dtype_of<T>);
    return static_cast<const T*>(data);
  }
};

// Memory that a kernel writes. Kernels assign to it; where one adds, its contract says so.
struct View : ConstView {
  View() = default;
  View(void* memory, DType type, const Shape& sizes) : ConstView(memory, type, sizes) {}
  View(void* memory, DType type, const Shape& sizes, const Shape& steps) : ConstView(memory, type, sizes, steps) {}

  template <class T>
  T* as() const {
    return const_cast<T*>(ConstView::as<T>());
  }
  void* memory() const { return const_cast<void*>(data); }
};

// The memory of an argument that may not be given; null where it is not.
template <class T, class V>
auto* optional(const V& view) {
  return view.defined() ? view.template as<T>() : nullptr;
}

// The same memory (a ConstView or a View) with two axes exchanged, or as the transposes of the matrices it holds.
template <class V>
V swapped(V v, int a, int b) {
  std::swap(v.shape[a], v.shape[b]);
  std::swap(v.strides[a], v.strides[b]);
  return v;
}
template <class V>
V transposed(const V& v) {
  return swapped(v, -1, -2);
}

}  // namespace engine
