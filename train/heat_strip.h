// Pictures of where a network looks (train/explain.h).
#pragma once

#include <string>
#include <vector>

#include "engine/tensor.h"
#include "io/canvas.h"
#include "train/rgb_image.h"

namespace engine {

// The colour that stands for 0..1: black, purple, red, orange, pale yellow; the brighter the more, also in grey.
// Between ten colours of matplotlib's "inferno" (van der Walt and Smith).
Color heat_color(double heat);

// Every frame (T, H, W, 3), u8, in grey under its heat (T, h, w), f32 in 0..1, which is interpolated between the
// middles of its places: u8 (T, H, W, 3).
Tensor heat_over(const Tensor& frames, const Tensor& heat);

RgbImage picture_of(const Canvas& canvas);

// The frames in one row and heat_over() below them, with a line of text above. Small frames are enlarged, of many some
// are left out.
RgbImage heat_strip(const std::string& title, const Tensor& frames, const Tensor& heat);

}  // namespace engine
