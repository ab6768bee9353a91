// Which frames make a clip, and how they are seen (io/augment.h). Pure functions of their arguments: equal
// draws give equal plans, whoever computes them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/augment.h"

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
  // In training only:
  int temporal_jitter = 0;  // every frame's number is moved by -jitter .. jitter, without changing the order
  AugmentOptions augment = {};
};

// Throws kUsage when a number is outside its range.
void check_options(const ClipOptions& options);

// Everything that is drawn for one clip, once for all its frames.
struct ClipPlan {
  std::vector<int64_t> frames;  // numbers in the source, ascending, may repeat
  FrameView view;
  bool flip = false;  // mirrored left to right
};

// `options.frames` = T numbers in [0, n), n = `frame_count` >= 1. With u = 1/2 in evaluation (`random` null):
//   uniform:  floor((t + u_t) n / T), t = 0 .. T-1, u_t drawn from [0, 1) for each t: frame t lies in segment
//             [t n/T, (t+1) n/T). A video shorter than T frames repeats its frames evenly.
//   dense:    min(s + t stride, n - 1), with s drawn from 0 .. n - span, or (n - span) / 2 in evaluation, where
//             span = (T - 1) stride + 1; s = 0 when the video is shorter than that: its last frame is repeated.
// Then temporal jitter; a number that would fall behind the one before is that one.
std::vector<int64_t> sample_frames(int64_t frame_count, const ClipOptions& options, Random* random);

// The plan for a source of `frame_count` frames of size `source`. Frames are drawn before anything else, the mirroring
// after everything else. In evaluation (`random` null) nothing is drawn: the whole height or width at the centre.
ClipPlan plan_clip(int64_t frame_count, FrameSize source, const ClipOptions& options, Random* random);

// Writes the clip: (T, H, W, 3), row-major, 8 bits a channel. Throws what FrameSource::read_frames() throws.
void read_clip(FrameSource& source, const ClipPlan& plan, std::span<uint8_t> rgb);

}  // namespace engine
