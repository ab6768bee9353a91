#include "io/clip.h"

#include <algorithm>

namespace engine {

namespace {

constexpr int kMaxFrames = 4096;
constexpr int kMaxSide = 4096;
constexpr int kMaxStride = 100000;

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw Error(concat("clip: ", name, " is ", value, "; it must be from ", low, " to ", high), exit_code::kUsage);
}

std::vector<int64_t> evenly_sampled(int64_t frame_count, const ClipOptions& options, Random* random) {
  const int64_t last = frame_count - 1;
  std::vector<int64_t> frames(static_cast<size_t>(options.frames));
  if (options.sampling == Sampling::dense) {
    const int64_t spare = frame_count - (int64_t{options.frames - 1} * options.stride + 1);
    int64_t start = std::max<int64_t>(spare, 0) / 2;
    if (random && spare > 0) start = static_cast<int64_t>(random->below(static_cast<uint64_t>(spare) + 1));
    for (size_t t = 0; t < frames.size(); ++t)
      frames[t] = std::min(start + static_cast<int64_t>(t) * options.stride, last);
    return frames;
  }
  const double segment = static_cast<double>(frame_count) / options.frames;
  for (size_t t = 0; t < frames.size(); ++t) {
    const double at = (static_cast<double>(t) + (random ? random->uniform() : 0.5)) * segment;
    frames[t] = std::min(static_cast<int64_t>(at), last);
  }
  return frames;
}

}  // namespace

void check_options(const ClipOptions& options) {
  check_range("frames", options.frames, 1, kMaxFrames);
  check_range("stride", options.stride, 1, kMaxStride);
  check_range("height", options.height, 1, kMaxSide);
  check_range("width", options.width, 1, kMaxSide);
  check_range("temporal_jitter", options.temporal_jitter, 0, kMaxStride);
  check_options(options.augment);
}

std::vector<int64_t> sample_frames(int64_t frame_count, const ClipOptions& options, Random* random) {
  ENGINE_CHECK(frame_count >= 1, "sample_frames: a video of ", frame_count, " frames");
  std::vector<int64_t> frames = evenly_sampled(frame_count, options, random);
  const int64_t jitter = options.temporal_jitter;
  if (!random || jitter == 0) return frames;
  int64_t before = 0;
  for (int64_t& frame : frames) {
    const int64_t moved = frame - jitter + static_cast<int64_t>(random->below(static_cast<uint64_t>(2 * jitter + 1)));
    before = frame = std::clamp(moved, before, frame_count - 1);
  }
  return frames;
}

ClipPlan plan_clip(int64_t frame_count, FrameSize source, const ClipOptions& options, Random* random) {
  const FrameSize size{options.width, options.height};
  ClipPlan plan;
  plan.frames = sample_frames(frame_count, options, random);
  const Augmentation drawn = draw_augmentation(source, size, options.augment, random);
  plan.view = view_of(drawn, source, size, options.augment);
  plan.flip = drawn.flip;
  return plan;
}

void read_clip(FrameSource& source, const ClipPlan& plan, std::span<uint8_t> rgb) {
  source.view_frames(plan.frames, plan.view, rgb);
}

}  // namespace engine
