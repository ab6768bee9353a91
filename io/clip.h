// Which frames make a clip, and how they are seen (io/augment.h). Pure functions of their arguments: equal
// draws give equal plans, whoever computes them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/augment.h"

namespace engine {

enum class Sampling {
  uniform,  // the whole video, one frame from each of equally long segments
  dense,    // frames close together, `stride` apart by their numbers or, with `fps`, by their times
};

// What becomes of a video that is shorter than a clip.
enum class ShortVideo {
  usual,   // repeat in uniform sampling, last in dense
  repeat,  // its frames evenly, as uniform sampling takes them
  loop,    // from its start again
  last,    // its last frame
  pad,     // frames of one colour, ClipOptions::pad, behind its last
  skip,    // no clip of it
  error,   // nor of any video beside it (train/short_videos.h)
};
inline const std::array<std::pair<const char*, ShortVideo>, 7> kShortVideoNames = {{{"auto", ShortVideo::usual},
                                                                                    {"repeat", ShortVideo::repeat},
                                                                                    {"loop", ShortVideo::loop},
                                                                                    {"last", ShortVideo::last},
                                                                                    {"pad", ShortVideo::pad},
                                                                                    {"skip", ShortVideo::skip},
                                                                                    {"error", ShortVideo::error}}};

struct ClipOptions {
  int frames = 16;
  int stride = 1;  // of dense sampling
  Sampling sampling = Sampling::uniform;
  int height = 112;
  int width = 112;
  double fps = 0;  // dense sampling: frames are `stride` / fps seconds apart, whatever the video's rate; 0: by number
  ShortVideo short_videos = ShortVideo::usual;
  std::array<double, 3> pad{};  // R, G, B of 0..255
  bool sar = false;             // the picture is as wide as the shape of its pixels makes it
  // In training only:
  int temporal_jitter = 0;  // every frame's number is moved by -jitter .. jitter, without changing the order
  AugmentOptions augment = {};
  // In evaluation only: a video is seen in clips x crops views.
  int clips = 1;
  TestCrops crops = TestCrops::centre;
};

// Throws kUsage when a number is outside its range.
void check_options(const ClipOptions& options);

// Views of a video in evaluation. View v is clip v / crops, seen at place v % crops of test_views().
constexpr int views_of(const ClipOptions& options) { return options.clips * count_of(options.crops); }

// Whether frames are taken by their times and not by their numbers.
inline bool by_time(const ClipOptions& options) { return options.sampling == Sampling::dense && options.fps > 0; }

// What a plan is made from.
struct ClipSource {
  int64_t frames = 0;  // at least 1
  FrameSize size = {};
  std::span<const double> times = {};  // FrameSource::times(); only looked at where clips are taken by time
  double pixel_aspect = 1;
  std::string name = "clip";  // in errors
};
// Of `source`, which must outlive the result.
ClipSource clip_source(const FrameSource& source, const ClipOptions& options, const std::string& name);

// A frame that is no frame of the video but ClipOptions::pad.
inline constexpr int64_t kPadding = -1;

// Everything that is drawn for one clip, once for all its frames.
struct ClipPlan {
  std::vector<int64_t> frames;  // numbers in the source, may repeat; ascending, but for `loop`; then kPadding
  FrameView view;
  bool flip = false;            // mirrored left to right
  std::array<double, 3> pad{};  // R, G, B of 0..255 of padding
};

// Whether a video of so many frames, `seconds` from the first to the last, is shorter than a clip: than its T frames in
// uniform sampling, than (T - 1) stride + 1 frames or, by time, (T - 1) stride / fps seconds in dense sampling.
bool is_short(int64_t frames, double seconds, const ClipOptions& options);

// What that is, for messages: "16 frames", or "1.5 s".
std::string length_of(const ClipOptions& options);

// `options.frames` = T numbers in [0, n), n = `source.frames`. In evaluation (`random` null) for clip k of N =
// `options.clips`; u is (k + 1/2) / N then, that is 1/2 for a single clip.
//   uniform:  floor((t + u_t) n / T), t = 0 .. T-1, u_t drawn from [0, 1) for each t: frame t lies in segment
//             [t n/T, (t+1) n/T). The same whatever `fps`.
//   dense:    s + t stride, with s drawn from 0 .. n - span, or in evaluation floor((n - span) / 2), of several clips
//             floor(k (n - span) / (N - 1)): from the first frame to the last. span = (T - 1) stride + 1.
//   by time:  the frame shown at s + t stride / fps seconds: the last whose time is not later by more than a
//             millisecond, to which some containers round. s is the time of the frame shown at a time drawn from
//             [0, end - span), span = (T - 1) stride / fps, where the last frame is taken to be shown until `end` for
//             as long as the others on average (a single one for stride / fps); or (l - span) / 2, or k (l - span) /
//             (N - 1), with l the time of the last frame. At the video's own constant rate these are the frames of
//             dense sampling.
// Of a video that is_short(), with step 1, stride, or stride / fps, by `options.short_videos`:
//   repeat:   as uniform
//   loop:     the frames at t step, counted from the first frame again at the end
//   last:     the frames at t step, or the last
//   pad:      the frames at t step, or kPadding
//   skip, error: throws kData, naming the source.
// Then temporal jitter; a number that would fall behind the one before is that one. Throws kData by time for a source
// without times, such as a folder of images or a decoded clip.
std::vector<int64_t> sample_frames(const ClipSource& source, const ClipOptions& options, Random* random, int clip = 0);
inline std::vector<int64_t> sample_frames(int64_t frame_count, const ClipOptions& options, Random* random) {
  return sample_frames({.frames = frame_count}, options, random);
}

// Frames are drawn before anything else, the mirroring after everything else. In evaluation (`random` null) nothing is
// drawn: `view`, 0 .. views_of(options) - 1; of a single one the whole height or width at the centre. With
// `options.sar` proportions are those of a picture of round(width x pixel_aspect) x height. Throws as sample_frames().
ClipPlan plan_clip(const ClipSource& source, const ClipOptions& options, Random* random, int view = 0);

// Every clip of T frames, taken densely whatever the sampling, that starts `hop` x t steps after the first frame, and
// one that ends with the last frame; nothing is drawn. A single one of a short video. With fps where the sampling is
// dense. hop >= 1. Throws as sample_frames().
std::vector<ClipPlan> plan_windows(const ClipSource& source, const ClipOptions& options, int64_t hop);

// What is drawn for a clip in training is a function of these: `sample` is its number in the data set, `attempt` is
// over 0 when it stands in for another that cannot be read.
Random clip_draws(uint64_t seed, int64_t epoch, int64_t sample, uint32_t attempt = 0);

// Writes the clip: (T, H, W, 3), row-major, 8 bits a channel. Throws what FrameSource::view_frames() throws.
void read_clip(FrameSource& source, const ClipPlan& plan, std::span<uint8_t> rgb);

}  // namespace engine
