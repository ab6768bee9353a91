// Memory for the length of one kernel call, on any device.
#pragma once

#include "kernels/context.h"

namespace engine {

template <class Context>
class ScratchMemory : NonCopyable {
 public:
  ScratchMemory(Context& ctx, size_t bytes) : ctx_(ctx), bytes_(bytes), memory_(allocate(ctx, bytes)) {}
  ~ScratchMemory() { deallocate(ctx_, memory_, bytes_); }

  template <class T>
  T* as() const {
    return static_cast<T*>(memory_);
  }
  View view(DType dtype, const Shape& shape) const { return View(memory_, dtype, shape); }

 private:
  Context& ctx_;
  size_t bytes_;
  void* memory_;
};

// A contiguous array.
template <class Context>
class ScratchArray {
 public:
  ScratchArray(Context& ctx, DType dtype, const Shape& shape)
      : memory_(ctx, static_cast<size_t>(shape.elements() * size_of(dtype))), view_(memory_.view(dtype, shape)) {}
  const View& view() const { return view_; }

 private:
  ScratchMemory<Context> memory_;
  View view_;
};

}  // namespace engine
