// Scratch memory for code that is written once for all contexts.
#pragma once

#include "kernels/context.h"

namespace engine {

// A contiguous array for the length of one kernel call.
template <class Context>
class ScratchArray {
 public:
  ScratchArray(Context& ctx, DType dtype, const Shape& shape)
      : ctx_(ctx),
        bytes_(static_cast<size_t>(shape.elements() * size_of(dtype))),
        view_(allocate(ctx, bytes_), dtype, shape) {}
  ~ScratchArray() { deallocate(ctx_, view_.memory(), bytes_); }
  ScratchArray(const ScratchArray&) = delete;
  ScratchArray& operator=(const ScratchArray&) = delete;

  const View& view() const { return view_; }

 private:
  Context& ctx_;
  size_t bytes_;
  View view_;
};

}  // namespace engine
