// Small pictures for people: a clip as a strip of frames.
#pragma once

#include <string>
#include <vector>

#include "engine/tensor.h"
#include "train/rgb_image.h"

namespace engine {

struct StripOptions {
  int64_t frames = 8;  // at most so many, spread evenly over the clip, its first and last among them
  int side = 96;       // pixels: larger frames are made smaller, so that neither side is longer
};
// Which of a clip's frames a strip shows.
std::vector<int64_t> strip_frames(int64_t frames, const StripOptions& options = {});

// The frames of a clip, u8 (T, H, W, 3) on the CPU, beside each other with a white line between them.
RgbImage film_strip(const Tensor& clip, const StripOptions& options = {});
// The same under a heat map, f32 (T', h, w) in [0, 1] on the CPU, as heat_over() (train/heat_strip.h) has it. With T' =
// T - 1 (differences of frames) map t belongs to frame t + 1.
RgbImage film_strip(const Tensor& clip, const Tensor& heat, const StripOptions& options = {});

// Writes it to `path`, a .png, and returns the file's bytes. Throws as write_image().
std::string save_picture(const std::string& path, const RgbImage& picture);

}  // namespace engine
