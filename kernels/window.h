// Windows that move over images (N,H,W,C) and clips (N,T,H,W,C): those of convolutions and of pooling.
#pragma once

#include <array>

#include "kernels/types.h"

namespace engine {

using Space = std::array<int64_t, 3>;  // time, height, width; of images, time is 1

// Of images, of clips, or of weights: what lies between the first axis and the channels.
inline Space space_of(const Shape& shape) { return {shape.rank() == 5 ? shape[1] : 1, shape[-3], shape[-2]}; }

// One number per axis of x: "2x1x1" of clips, "1x1" of images.
inline std::string text_of(const Space& space, bool clips) {
  return concat(clips ? concat(space[0], "x") : "", space[1], "x", space[2]);
}

// The result's shape: on each axis (size + 2 pad - dilation (kernel - 1) - 1) / stride + 1, rounded down, or 0 where
// the kernel does not fit.
inline Shape windows_over(const Shape& x, const Space& kernel, const Space& stride, const Space& pad,
                          const Space& dilation, int64_t channels) {
  Shape y = x;
  for (int axis = 1; axis < x.rank() - 1; ++axis) {
    const auto i = static_cast<size_t>(axis + 4 - x.rank());
    const int64_t last = x[axis] + 2 * pad[i] - dilation[i] * (kernel[i] - 1) - 1;
    y[axis] = last < 0 ? 0 : last / stride[i] + 1;
  }
  y[-1] = channels;
  return y;
}

}  // namespace engine
