// How CPU kernels serve bf16: they compute on f32 copies.
#pragma once

#include <list>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/copy.h"
#include "kernels/cpu/context.h"

namespace engine {

// As long as it lives, the bf16 views among those it was given are views of f32 copies; others stay as they are. Inputs
// are cast up at the start, outputs (View) are cast down and so rounded once at the end.
class InF32 {
 public:
  template <class... Views>
  explicit InF32(CpuContext& ctx, Views&... views) : ctx_(ctx) {
    (replace(views), ...);
  }
  ~InF32() {
    for (const auto& [copied, original] : outputs_) copy(ctx_, copied, original);
  }

 private:
  template <class V>
  void replace(V& view) {
    if (!view.defined() || view.dtype != DType::bf16) return;
    const size_t bytes = static_cast<size_t>(view.elements()) * sizeof(float);
    const View copied = memory_.emplace_back(ctx_, bytes).view(DType::f32, view.shape);
    if constexpr (std::is_same_v<V, View>)
      outputs_.emplace_back(copied, view);
    else
      copy(ctx_, view, copied);
    view = copied;
  }

  CpuContext& ctx_;
  std::list<Scratch> memory_;
  std::vector<std::pair<View, View>> outputs_;
};

}  // namespace engine
