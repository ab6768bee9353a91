// A descriptor of cuDNN's graph API: made, filled attribute by attribute, finalised. This is the C interface; the
// header library on top of it takes the compiler 18 seconds and 1.5 GB wherever it is included.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/check.h"

namespace engine {

constexpr cudnnBackendAttributeType_t cudnn_type(bool) { return CUDNN_TYPE_BOOLEAN; }
constexpr cudnnBackendAttributeType_t cudnn_type(char) { return CUDNN_TYPE_CHAR; }
constexpr cudnnBackendAttributeType_t cudnn_type(int32_t) { return CUDNN_TYPE_INT32; }
constexpr cudnnBackendAttributeType_t cudnn_type(int64_t) { return CUDNN_TYPE_INT64; }
constexpr cudnnBackendAttributeType_t cudnn_type(float) { return CUDNN_TYPE_FLOAT; }
constexpr cudnnBackendAttributeType_t cudnn_type(void*) { return CUDNN_TYPE_VOID_PTR; }
constexpr cudnnBackendAttributeType_t cudnn_type(cudnnDataType_t) { return CUDNN_TYPE_DATA_TYPE; }
constexpr cudnnBackendAttributeType_t cudnn_type(cudnnConvolutionMode_t) { return CUDNN_TYPE_CONVOLUTION_MODE; }
constexpr cudnnBackendAttributeType_t cudnn_type(cudnnPointwiseMode_t) { return CUDNN_TYPE_POINTWISE_MODE; }
constexpr cudnnBackendAttributeType_t cudnn_type(cudnnNanPropagation_t) { return CUDNN_TYPE_NAN_PROPOGATION; }
constexpr cudnnBackendAttributeType_t cudnn_type(cudnnBackendHeurMode_t) { return CUDNN_TYPE_HEUR_MODE; }
constexpr cudnnBackendAttributeType_t cudnn_type(cudnnBackendNumericalNote_t) { return CUDNN_TYPE_NUMERICAL_NOTE; }
constexpr cudnnBackendAttributeType_t cudnn_type(cudnnBackendBehaviorNote_t) { return CUDNN_TYPE_BEHAVIOR_NOTE; }

// Copies are handles of one descriptor.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t made = nullptr;
    ENGINE_CUDA(cudnnBackendCreateDescriptor(type, &made));
    handle_.reset(made, cudnnBackendDestroyDescriptor);
  }

  cudnnBackendDescriptor_t get() const { return handle_.get(); }
  const std::shared_ptr<void>& handle() const { return handle_; }
  void finalize() const { ENGINE_CUDA(cudnnBackendFinalize(get())); }
  // False where cuDNN cannot do what the descriptor says.
  bool supported() const { return cudnnBackendFinalize(get()) == CUDNN_STATUS_SUCCESS; }

  template <class Range>
  void set_all(cudnnBackendAttributeName_t name, const Range& values) {
    set(name, cudnn_type(typename Range::value_type{}), values.size(), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, T value) {
    set(name, cudnn_type(value), 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) { set_all(name, std::vector{value}); }
  void set_all(cudnnBackendAttributeName_t name, const std::vector<CudnnDescriptor>& values) {
    std::vector<cudnnBackendDescriptor_t> handles;
    for (const CudnnDescriptor& value : values) handles.push_back(value.get());
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, handles.size(), handles.data());
  }

  template <class T>
  std::vector<T> values(cudnnBackendAttributeName_t name) const {
    std::vector<T> found(room_for(name, cudnn_type(T{})));
    found.resize(static_cast<size_t>(read(name, cudnn_type(T{}), found.size(), found.data())));
    return found;
  }
  std::string text(cudnnBackendAttributeName_t name) const {
    const std::vector<char> found = values<char>(name);
    return {found.begin(), std::find(found.begin(), found.end(), '\0')};
  }
  std::vector<CudnnDescriptor> descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type) const {
    std::vector<CudnnDescriptor> found;
    std::vector<cudnnBackendDescriptor_t> handles(room_for(name, CUDNN_TYPE_BACKEND_DESCRIPTOR));
    for (auto& handle : handles) handle = found.emplace_back(type).get();
    found.erase(found.begin() + read(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, handles.size(), handles.data()), found.end());
    return found;
  }

 private:
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, size_t count, const void* values) {
    ENGINE_CUDA(cudnnBackendSetAttribute(get(), name, type, static_cast<int64_t>(count), values));
  }
  // At least as many as there are values.
  size_t room_for(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    int64_t room = 0;
    ENGINE_CUDA(cudnnBackendGetAttribute(get(), name, type, 0, &room, nullptr));
    return static_cast<size_t>(room);
  }
  int64_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, size_t room, void* into) const {
    int64_t count = 0;
    ENGINE_CUDA(cudnnBackendGetAttribute(get(), name, type, static_cast<int64_t>(room), &count, into));
    return count;
  }

  std::shared_ptr<void> handle_;
};

}  // namespace engine
