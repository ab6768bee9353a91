#include "io/clip.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/text.h"

namespace engine {

namespace {

constexpr int kMaxFrames = 4096;
constexpr int kMaxSide = 4096;
constexpr int kMaxStride = 100000;
constexpr int kMaxClips = 1000;
constexpr double kMaxFps = 1000;
constexpr double kMaxShown = 1e6;        // columns of a picture after its pixels are made square
constexpr double kTolerance = 1e-3;      // seconds that a frame may be late
constexpr uint32_t kDrawClip = 0x10000;  // the substream that draws for clips, from which attempts are counted
constexpr int kUprightCrops = 5;         // of ten; the others are mirrored

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw Error(concat("clip: ", name, " is ", value, "; it must be from ", low, " to ", high), exit_code::kUsage);
}

// From one frame of a clip to the next: frames, or seconds.
double step_of(const ClipOptions& options) {
  return options.sampling == Sampling::uniform ? 1 : by_time(options) ? options.stride / options.fps : options.stride;
}

double span_of(const ClipOptions& options) { return (options.frames - 1) * step_of(options); }

ShortVideo policy_of(const ClipOptions& options) {
  if (options.short_videos != ShortVideo::usual) return options.short_videos;
  return options.sampling == Sampling::uniform ? ShortVideo::repeat : ShortVideo::last;
}

// Where on the line of a video its frames lie: frame i at i, or at its time in seconds.
struct Line {
  Line(const ClipSource& source, const ClipOptions& options) : count(source.frames) {
    ENGINE_CHECK(count >= 1, "clip: a video of ", count, " frames");
    last = static_cast<double>(count - 1);
    end = static_cast<double>(count);
    if (!by_time(options)) return;
    if (std::ssize(source.times) != count)
      throw Error(concat(escaped(source.name), ": only videos have times, so that frames can be taken at ", options.fps,
                         " a second; leave --fps out"),
                  exit_code::kData);
    times = source.times;
    end *= times.back() / std::max(last, 1.0);
    last = times.back();
    if (end <= last) end = last + step_of(options);
    tolerance = kTolerance;
  }
  // The last frame whose place is not behind this one.
  int64_t frame_at(double place) const {
    const auto found = is_number() ? static_cast<int64_t>(std::min(place, last))
                                   : std::ranges::upper_bound(times, place) - times.begin() - 1;
    return std::clamp<int64_t>(found, 0, count - 1);
  }
  bool is_number() const { return times.empty(); }

  int64_t count;
  std::span<const double> times;  // empty: numbers
  double last, end;               // where the last frame begins, and where it ends
  double tolerance = 0;           // added to what is wanted
};

std::vector<int64_t> evenly_sampled(int64_t frame_count, const ClipOptions& options, Random* random, int clip) {
  const double segment = static_cast<double>(frame_count) / options.frames, offset = (clip + 0.5) / options.clips;
  std::vector<int64_t> frames(static_cast<size_t>(options.frames));
  for (size_t t = 0; t < frames.size(); ++t) {
    const double at = (static_cast<double>(t) + (random ? random->uniform() : offset)) * segment;
    frames[t] = std::min(static_cast<int64_t>(at), frame_count - 1);
  }
  return frames;
}

// Where a clip that fits begins.
double start_of(const Line& line, const ClipOptions& options, Random* random, int clip) {
  const double spare = std::max(line.last - span_of(options), 0.0);
  if (!random) return options.clips > 1 ? clip * spare / (options.clips - 1) : spare / 2;
  if (!line.is_number())
    return line.times[static_cast<size_t>(line.frame_at(random->uniform() * (line.end - span_of(options))))];
  return spare > 0 ? static_cast<double>(random->below(static_cast<uint64_t>(spare) + 1)) : 0;
}

// The frames from `start` on; what lies behind the end as `policy` says.
std::vector<int64_t> frames_from(double start, const Line& line, const ClipOptions& options,
                                 ShortVideo policy = ShortVideo::last) {
  std::vector<int64_t> frames(static_cast<size_t>(options.frames));
  for (size_t t = 0; t < frames.size(); ++t) {
    const double place = start + static_cast<double>(t) * step_of(options) + line.tolerance;
    const bool over = place >= line.end;
    frames[t] = over && policy == ShortVideo::pad    ? kPadding
                : over && policy == ShortVideo::loop ? line.frame_at(std::fmod(place, line.end))
                                                     : line.frame_at(place);
  }
  return frames;
}

[[noreturn]] void refuse_short(const ClipSource& source, const Line& line, const ClipOptions& options) {
  const std::string has = line.is_number() ? concat(source.frames, " frames") : concat(line.last, " s");
  throw Error(concat(escaped(source.name), ": only ", has, " long, and a clip takes ", length_of(options),
                     "; --short says what becomes of short videos"),
              exit_code::kData);
}

void jitter(std::vector<int64_t>& frames, int64_t frame_count, int64_t most, Random& random) {
  int64_t before = 0, planned = 0;
  for (int64_t& frame : frames) {
    if (frame == kPadding) return;
    if (frame < planned) before = 0;  // the video starts over
    planned = frame;
    const int64_t moved = frame - most + static_cast<int64_t>(random.below(static_cast<uint64_t>(2 * most + 1)));
    before = frame = std::clamp(moved, before, frame_count - 1);
  }
}

FrameSize shown_size(const ClipSource& source, const ClipOptions& options) {
  FrameSize size = source.size;
  if (options.sar)
    size.width = static_cast<int>(std::clamp(std::round(size.width * source.pixel_aspect), 1.0, kMaxShown));
  return size;
}

}  // namespace

void check_options(const ClipOptions& options) {
  check_range("frames", options.frames, 1, kMaxFrames);
  check_range("stride", options.stride, 1, kMaxStride);
  check_range("height", options.height, 1, kMaxSide);
  check_range("width", options.width, 1, kMaxSide);
  check_range("fps", options.fps, 0, kMaxFps);
  check_range("clips", options.clips, 1, kMaxClips);
  check_range("temporal_jitter", options.temporal_jitter, 0, kMaxStride);
  for (const double value : options.pad) check_range("pad", value, 0, 255);
  check_options(options.augment);
}

ClipSource clip_source(const FrameSource& source, const ClipOptions& options, const std::string& name) {
  return {.frames = source.frame_count(),
          .size = source.size(),
          .times = by_time(options) ? std::span(source.times()) : std::span<const double>(),
          .pixel_aspect = source.pixel_aspect(),
          .name = name};
}

bool is_short(int64_t frames, double seconds, const ClipOptions& options) {
  return by_time(options) ? span_of(options) > seconds + kTolerance
                          : span_of(options) > static_cast<double>(frames - 1);
}

std::string length_of(const ClipOptions& options) {
  return by_time(options) ? concat(span_of(options), " s")
                          : concat(static_cast<int64_t>(span_of(options)) + 1, " frames");
}

std::vector<int64_t> sample_frames(const ClipSource& source, const ClipOptions& options, Random* random, int clip) {
  const Line line(source, options);
  const bool too_short = is_short(source.frames, line.last, options);
  const ShortVideo policy = policy_of(options);
  if (too_short && (policy == ShortVideo::skip || policy == ShortVideo::error)) refuse_short(source, line, options);
  const bool evenly = too_short ? policy == ShortVideo::repeat : options.sampling == Sampling::uniform;
  std::vector<int64_t> frames = evenly      ? evenly_sampled(source.frames, options, random, clip)
                                : too_short ? frames_from(0, line, options, policy)
                                            : frames_from(start_of(line, options, random, clip), line, options);
  if (random && options.temporal_jitter > 0) jitter(frames, source.frames, options.temporal_jitter, *random);
  return frames;
}

ClipPlan plan_clip(const ClipSource& source, const ClipOptions& options, Random* random, int view) {
  const FrameSize size{options.width, options.height}, shown = shown_size(source, options);
  const int crops = count_of(options.crops), crop = view % crops;
  ClipPlan plan;
  plan.frames = sample_frames(source, options, random, view / crops);
  plan.pad = options.pad;
  if (!random) {
    plan.view = test_views(shown, size, options.crops, options.augment)[static_cast<size_t>(crop)];
    plan.flip = crop >= kUprightCrops;
    return plan;
  }
  Augmentation drawn = draw_augmentation(shown, size, options.augment, random);
  if (shown != source.size && drawn.cut[2] > 0) {  // back to the pixels that there are
    const double narrower = static_cast<double>(source.size.width) / shown.width;
    const double right = std::ceil((drawn.cut[0] + drawn.cut[2]) * narrower);
    drawn.cut[0] = static_cast<int>(drawn.cut[0] * narrower);
    drawn.cut[2] = std::min(static_cast<int>(right), source.size.width) - drawn.cut[0];
  }
  plan.view = view_of(drawn, shown, size, options.augment);
  plan.flip = drawn.flip;
  return plan;
}

std::vector<ClipPlan> plan_windows(const ClipSource& source, const ClipOptions& given, int64_t hop) {
  ENGINE_CHECK(hop >= 1, "plan_windows: a hop of ", hop);
  ClipOptions options = given;
  options.short_videos = policy_of(given);
  if (given.sampling == Sampling::uniform) options.sampling = Sampling::dense, options.fps = 0;
  options.clips = 1, options.crops = TestCrops::centre;
  const Line line(source, options);
  ClipPlan plan = plan_clip(source, options, nullptr);
  if (is_short(source.frames, line.last, options)) return {plan};
  const double last = std::max(line.last - span_of(options), 0.0),
               distance = static_cast<double>(hop) * step_of(options);
  std::vector<ClipPlan> windows;
  const auto add = [&](double start) {
    plan.frames = frames_from(start, line, options);
    windows.push_back(plan);
  };
  for (double start = 0; start < last - line.tolerance; start = static_cast<double>(windows.size()) * distance)
    add(start);
  add(last);
  return windows;
}

Random clip_draws(uint64_t seed, int64_t epoch, int64_t sample, uint32_t attempt) {
  const uint64_t stream = static_cast<uint64_t>(epoch) << 32 | static_cast<uint64_t>(sample);
  return Random(seed ^ stream_of("loader"), stream, kDrawClip + attempt);
}

void read_clip(FrameSource& source, const ClipPlan& plan, std::span<uint8_t> rgb) {
  std::vector<int64_t> real = plan.frames;
  std::erase(real, kPadding);
  if (real.size() == plan.frames.size()) return source.view_frames(real, plan.view, rgb);
  const size_t bytes = plan.view.size.bytes();
  ENGINE_CHECK(rgb.size() == plan.frames.size() * bytes, "clip: ", plan.frames.size(), " frames need ",
               plan.frames.size() * bytes, " bytes, not ", rgb.size());
  size_t left = real.size();
  source.view_frames(real, plan.view, rgb.first(left * bytes));
  std::array<uint8_t, 3> colour{};
  for (size_t c = 0; c < 3; ++c) colour[c] = static_cast<uint8_t>(std::clamp(plan.pad[c], 0.0, 255.0) + 0.5);
  for (size_t t = plan.frames.size(); t-- > 0;) {  // from the back, so that nothing is overwritten that is to be moved
    uint8_t* const to = rgb.data() + t * bytes;
    if (plan.frames[t] == kPadding)
      for (size_t i = 0; i < bytes; ++i) to[i] = colour[i % 3];
    else if (--left < t)
      std::memcpy(to, rgb.data() + left * bytes, bytes);
  }
}

}  // namespace engine
