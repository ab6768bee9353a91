#include "io/clip.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace engine {

namespace {

constexpr int kMaxFrames = 4096;
constexpr int kMaxSide = 4096;
constexpr int kMaxStride = 100000;
constexpr double kMaxScale = 4;
constexpr int kMaxEnlargement = 16;  // of a resized side over the wanted one

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw Error(concat("clip: ", name, " is ", value, "; it must be from ", low, " to ", high), exit_code::kUsage);
}

int covering_side(int side, double factor, int wanted) {
  const double resized = std::min(std::round(side * factor), static_cast<double>(wanted) * kMaxEnlargement);
  return std::max(wanted, static_cast<int>(resized));
}

void cut(const uint8_t* source, const ClipPlan& plan, uint8_t* target) {
  const auto width = static_cast<size_t>(plan.size.width);
  const auto stride = static_cast<size_t>(plan.resized.width) * 3;
  source += static_cast<size_t>(plan.crop_y) * stride + static_cast<size_t>(plan.crop_x) * 3;
  for (int y = 0; y < plan.size.height; ++y, source += stride, target += width * 3) {
    if (!plan.flip) {
      std::memcpy(target, source, width * 3);
      continue;
    }
    for (size_t x = 0; x < width; ++x) std::memcpy(target + x * 3, source + (width - 1 - x) * 3, 3);
  }
}

}  // namespace

void check_options(const ClipOptions& options) {
  check_range("frames", options.frames, 1, kMaxFrames);
  check_range("stride", options.stride, 1, kMaxStride);
  check_range("height", options.height, 1, kMaxSide);
  check_range("width", options.width, 1, kMaxSide);
  check_range("max_scale", options.max_scale, 1, kMaxScale);
  check_range("min_scale", options.min_scale, 1, options.max_scale);
  check_range("flip_probability", options.flip_probability, 0, 1);
}

std::vector<int64_t> sample_frames(int64_t frame_count, const ClipOptions& options, Random* random) {
  ENGINE_CHECK(frame_count >= 1, "sample_frames: a video of ", frame_count, " frames");
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

ClipPlan plan_clip(int64_t frame_count, FrameSize source, const ClipOptions& options, Random* random) {
  ClipPlan plan;
  plan.frames = sample_frames(frame_count, options, random);
  plan.size = {options.width, options.height};
  const double scale = random ? random->uniform(options.min_scale, options.max_scale) : 1.0;
  const double factor = scale * std::max(static_cast<double>(options.width) / source.width,
                                         static_cast<double>(options.height) / source.height);
  plan.resized = {covering_side(source.width, factor, options.width),
                  covering_side(source.height, factor, options.height)};
  const int spare_x = plan.resized.width - options.width, spare_y = plan.resized.height - options.height;
  if (random && options.random_crop) {
    plan.crop_x = static_cast<int>(random->below(static_cast<uint64_t>(spare_x) + 1));
    plan.crop_y = static_cast<int>(random->below(static_cast<uint64_t>(spare_y) + 1));
  } else {
    plan.crop_x = spare_x / 2;
    plan.crop_y = spare_y / 2;
  }
  plan.flip = random && random->chance(options.flip_probability);
  return plan;
}

void read_clip(FrameSource& source, const ClipPlan& plan, std::span<uint8_t> rgb) {
  const size_t count = plan.frames.size();
  ENGINE_CHECK(rgb.size() == count * plan.size.bytes(), "read_clip: ", rgb.size(), " bytes for a clip of ",
               count * plan.size.bytes());
  if (plan.resized == plan.size && !plan.flip) {
    source.read_frames(plan.frames, plan.size, rgb);
    return;
  }
  std::vector<uint8_t> whole(count * plan.resized.bytes());
  source.read_frames(plan.frames, plan.resized, whole);
  for (size_t t = 0; t < count; ++t)
    cut(whole.data() + t * plan.resized.bytes(), plan, rgb.data() + t * plan.size.bytes());
}

}  // namespace engine
