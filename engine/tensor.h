// Tensor: a handle on an array of one device. Copying a Tensor copies the handle, not the elements.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/context.h"

namespace engine {

class Node;
class Tensor;

// One allocation on one device, freed when the last tensor that uses it goes.
class Storage : NonCopyable {
 public:
  Storage(Device device, size_t bytes) : device_(device), bytes_(bytes), memory_(allocate(device, bytes)) {}
  ~Storage() { deallocate(device_, memory_, bytes_); }

  Device device() const { return device_; }
  size_t bytes() const { return bytes_; }
  void* memory() const { return memory_; }

 private:
  Device device_;
  size_t bytes_;
  void* memory_;
};

// An input of the autograd graph: output number `output` of `node`. Empty where no gradient is wanted.
struct Edge {
  std::shared_ptr<Node> node;
  int output = 0;
};

// Always contiguous: a view is a reshape or a slice of the outermost axis; everything else is a copying op
// (engine/ops.h). Not thread-safe: one thread at a time works on a tensor and on everything that shares its memory.
class Tensor {
 public:
  Tensor() = default;  // undefined; stands for "none"

  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = kCpu);  // contents undefined
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = kCpu);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32, Device device = kCpu);
  // On the CPU, copied from `values` in row-major order.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape);
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }
  template <class T>
  static Tensor from(std::initializer_list<T> values) {
    return from(std::span<const T>(values.begin(), values.size()), Shape{static_cast<int64_t>(values.size())});
  }
  static Tensor empty_like(const Tensor& other) { return empty(other.shape(), other.dtype(), other.device()); }
  static Tensor zeros_like(const Tensor& other) { return zeros(other.shape(), other.dtype(), other.device()); }

  bool defined() const { return impl_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const;
  int rank() const { return shape().rank(); }
  int64_t size(int axis) const { return shape()[axis]; }
  int64_t elements() const { return shape().elements(); }
  size_t bytes() const { return static_cast<size_t>(elements() * size_of(dtype())); }
  DType dtype() const;
  Device device() const;

  // The elements of a CPU tensor. Throws when the type or the device is another.
  template <class T>
  std::span<T> values() const;
  // The only element, as a double; waits for the device.
  double item() const;
  void* memory() const;
  const std::shared_ptr<Storage>& storage() const;
  // Bytes from the start of the storage to the first element.
  size_t offset() const;

  // What kernels take. An undefined tensor gives an undefined view.
  operator ConstView() const;
  operator View() const;

  // Views; they share memory with this tensor and are differentiable. One size of reshape may be -1: it is worked out.
  Tensor reshape(std::initializer_list<int64_t> sizes) const;
  Tensor reshape(const Shape& shape) const;
  Tensor flatten(int first_axis, int last_axis) const;  // merges axes first..last, both included
  // Rows [begin, end) of the outermost axis.
  Tensor slice(int64_t begin, int64_t end) const;

  // Copies; not differentiable. copy_from() writes into this tensor's memory, converting type and device.
  Tensor clone() const;
  Tensor to(Device device) const;  // this very tensor when it is there already
  void copy_from(const Tensor& source) const;

  // ---- gradients (engine/autograd.h) ----
  // Marks a tensor that the user made as one whose gradient is wanted. Float types only.
  const Tensor& set_requires_grad(bool on = true) const;
  bool requires_grad() const;
  // The gradient accumulated so far; undefined before the first backward and after zero_grad().
  Tensor grad() const;
  void zero_grad() const;
  // d(this)/d(leaf) is added to grad() of every leaf. Without `seed` this tensor must have one element.
  void backward(const Tensor& seed = {}) const;
  // The same memory without its history.
  Tensor detach() const;

  const Edge& edge() const;
  void set_edge(Edge edge) const;
  // Makes this tensor, and every handle on it, stand for source's memory, type and device; the shape must be the same.
  // A leaf stays one; its gradient is forgotten.
  void assign(const Tensor& source) const;
  // True when no other handle and no view sees this memory.
  bool unique() const;
  // True when both handles are the same tensor.
  bool is(const Tensor& other) const { return impl_ == other.impl_; }

 private:
  struct Impl;
  explicit Tensor(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  Tensor view_of_memory(const Shape& shape, size_t offset) const;
  const Impl& impl() const;

  std::shared_ptr<Impl> impl_;
};

// Assigns `value` to every element, without waiting for the device.
void fill(const Tensor& tensor, double value);

// Shape, type, and the elements: all of a small tensor, the corners of a large one.
std::string to_string(const Tensor& tensor);
std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape) {
  ENGINE_CHECK(static_cast<int64_t>(values.size()) == shape.elements(), "Tensor::from: ", values.size(),
               " values for shape ", shape, " (", shape.elements(), " elements)");
  Tensor result = empty(shape, dtype_of<T>);
  copy_bytes(kCpu, result.memory(), kCpu, values.data(), values.size() * sizeof(T));
  return result;
}

template <class T>
std::span<T> Tensor::values() const {
  ENGINE_CHECK(dtype() == dtype_of<T>, "values: the tensor is ", dtype(), ", not ", dtype_of<T>);
  ENGINE_CHECK(device() == kCpu, "values: the tensor is on ", device(), "; bring it to the CPU with .to(kCpu)");
  return {static_cast<T*>(memory()), static_cast<size_t>(elements())};
}

}  // namespace engine
