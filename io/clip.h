// Which frames make a clip, and how they are resized, cropped and flipped. Pure functions of their arguments: equal
// draws give equal plans, whoever computes them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/random.h"
#include "io/frame_source.h"

namespace engine {

enum class Sampling {
  uniform,  // the whole video, one frame from each of equally long segments
  dense,    // consecutive frames, `stride` apart
};

struct ClipOptions {
  int frames = 16;
  int stride = 1;  // of dense sampling
  Sampling sampling = Sampling::uniform;
  int height = 112;
  int width = 112;
  // Augmentation in training. A clip is resized until it covers height x width, enlarged by a factor drawn from
  // [min_scale, max_scale], and cut to height x width at a random place, or at the centre.
  double min_scale = 1;
  double max_scale = 1;
  bool random_crop = false;
  double flip_probability = 0;  // mirrored left to right; 0.5 is usual where left and right mean the same
};

// Throws kUsage when a number is outside its range.
void check_options(const ClipOptions& options);

// Everything that is drawn for one clip, once for all its frames.
struct ClipPlan {
  std::vector<int64_t> frames;  // numbers in the source, ascending, may repeat
  FrameSize resized;            // of the whole picture, before the cut
  int crop_x = 0;               // left upper corner of the cut in the resized picture
  int crop_y = 0;
  FrameSize size;  // of the cut
  bool flip = false;
};

// `options.frames` = T numbers in [0, n), n = `frame_count` >= 1. With u = 1/2 in evaluation (`random` null):
//   uniform:  floor((t + u_t) n / T), t = 0 .. T-1, u_t drawn from [0, 1) for each t: frame t lies in segment
//             [t n/T, (t+1) n/T). A video shorter than T frames repeats its frames evenly.
//   dense:    min(s + t stride, n - 1), with s drawn from 0 .. n - span, or (n - span) / 2 in evaluation, where
//             span = (T - 1) stride + 1; s = 0 when the video is shorter than that: its last frame is repeated.
std::vector<int64_t> sample_frames(int64_t frame_count, const ClipOptions& options, Random* random);

// The plan for a source of `frame_count` frames of size `source`. With W x H the size wanted and w x h the source's:
// resized = (max(W, round(w f)), max(H, round(h f))), f = scale * max(W/w, H/h), scale drawn from [min_scale,
// max_scale); each at most 16 times what is wanted, so very long pictures are squeezed. Drawn in this order: frames,
// scale, x, y, flip. In evaluation (`random` null): scale 1, the centre, no flip.
ClipPlan plan_clip(int64_t frame_count, FrameSize source, const ClipOptions& options, Random* random);

// Writes the clip: (T, H, W, 3), row-major, 8 bits a channel. Throws what FrameSource::read_frames() throws.
void read_clip(FrameSource& source, const ClipPlan& plan, std::span<uint8_t> rgb);

}  // namespace engine
