// in_f32(): how every CPU kernel serves bf16. Included by kernels/cpu/parallel.h.
#pragma once

#include <optional>
#include <type_traits>

#include "kernels/copy.h"

namespace engine {

template <class V>
class F32Copy {
 public:
  F32Copy(CpuContext& ctx, const V& view) : ctx_(ctx), original_(view), used_(view) {
    if (!view.defined() || view.dtype != DType::bf16) return;
    scratch_.emplace(ctx, static_cast<size_t>(view.elements()) * sizeof(float));
    const View copied = scratch_->view(DType::f32, view.shape);
    if constexpr (!std::is_same_v<V, View>) copy(ctx, view, copied);
    used_ = copied;
  }
  const V& view() const { return used_; }
  void finish() const {
    if constexpr (std::is_same_v<V, View>)
      if (scratch_) copy(ctx_, used_, original_);
  }

 private:
  CpuContext& ctx_;
  V original_, used_;
  std::optional<Scratch> scratch_;
};

template <class Kernel, class... Views>
void in_f32(CpuContext& ctx, const Kernel& kernel, const Views&... views) {
  [&kernel](const auto&... copies) {
    kernel(copies.view()...);
    (copies.finish(), ...);
  }(F32Copy<Views>(ctx, views)...);
}

}  // namespace engine
