#include "train/data_speed.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <optional>

#include "engine/tensor.h"
#include "io/scratch_folder.h"
#include "io/trim.h"
#include "io/video_writer.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kTimed = 16;                // clips decoded to measure the speed
constexpr size_t kEncoded = 4;               // of them encoded anew
constexpr int64_t kMostBytes = 256ll << 20;  // of the pictures of one of these
constexpr double kFewer = 1.3;               // times fewer frames, to try it

// Time that this thread computed, whatever else the machine does.
double seconds_of_this_thread() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Seconds to get the clip out of a file, and the frames it consists of.
double seconds_to_read(const Sample& sample, const ClipOptions& options, std::vector<int64_t>& frames) {
  std::vector<uint8_t> rgb(static_cast<size_t>(options.frames) * FrameSize{options.width, options.height}.bytes());
  const double begin = seconds_of_this_thread();
  const auto source = open_clip(sample);
  const ClipPlan plan = plan_clip(clip_source(*source, options, sample.path), options, nullptr);
  read_clip(*source, plan, rgb);
  frames = plan.frames;
  return seconds_of_this_thread() - begin;
}

bool can_be_encoded(const ClipFacts& facts) {
  const bool sides =
      facts.size.width % 2 == 0 && facts.size.height % 2 == 0 && facts.size.width >= 16 && facts.size.height >= 16;
  return facts.is_video && sides && facts.frames * static_cast<int64_t>(facts.size.bytes()) <= kMostBytes;
}

void encode_anew(const Sample& sample, const ClipFacts& facts, const fs::path& path) {
  const auto source = open_clip(sample);
  std::vector<int64_t> all(static_cast<size_t>(facts.frames));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  std::vector<uint8_t> rgb(all.size() * facts.size.bytes());
  source->read_frames(all, facts.size, rgb);
  const int fps = std::clamp(static_cast<int>(std::lround(facts.info.fps)), 1, 1000);
  VideoWriter writer(path, facts.size.width, facts.size.height, fps, {.gop = kUsefulGop});
  for (size_t i = 0; i < all.size(); ++i)
    writer.write(std::span(rgb).subspan(i * facts.size.bytes(), facts.size.bytes()));
  writer.finish();
}

std::optional<Speed::Dense> measure_dense(const std::vector<Clip>& clips, const std::vector<ClipFacts>& facts,
                                          const std::vector<size_t>& timed, const ClipOptions& options) {
  std::optional<ScratchFolder> scratch;
  double before = 0, after = 0, bytes_before = 0, bytes_after = 0;
  size_t count = 0;
  for (const size_t i : timed) {
    if (count == kEncoded || !can_be_encoded(facts[i])) continue;
    try {
      if (!scratch) scratch.emplace();
      const Sample& sample = *clips[i].sample;
      const fs::path path = scratch->path() / "clip.mp4";
      encode_anew(sample, facts[i], path);
      std::vector<int64_t> unused;
      const double was = seconds_to_read(sample, options, unused);
      const double is = seconds_to_read({.path = path.string(), .name = {}}, options, unused);
      before += was;
      after += is;
      bytes_before += static_cast<double>(facts[i].bytes);
      bytes_after += static_cast<double>(fs::file_size(path));
      ++count;
    } catch (const Error&) {
      continue;  // damaged inside, no room for the copy, or no encoder
    }
  }
  if (count == 0 || after <= 0) return std::nullopt;
  return Speed::Dense{before / after, bytes_after / bytes_before, count};
}

}  // namespace

int64_t decoded_frames(const std::vector<int64_t>& frames, double gop) {
  int64_t total = 0;
  double next = 0;  // the first frame that is not decoded yet
  for (const int64_t frame : frames) {
    const auto wanted = static_cast<double>(frame);
    const double key = std::ceil(std::floor(wanted / gop) * gop);
    const double start = std::max(next, key);
    total += static_cast<int64_t>(std::max(wanted - start + 1, 0.0));
    next = std::max(next, wanted + 1);
  }
  return total;
}

Speed measure_speed(const std::vector<Clip>& clips, const std::vector<ClipFacts>& facts, const ClipOptions& options) {
  std::vector<size_t> readable, timed;
  for (size_t i = 0; i < clips.size(); ++i)
    if (facts[i].error.empty()) readable.push_back(i);
  double seconds = 0;
  int64_t decoded = 0, decoded_dense = 0;
  const size_t count = std::min(kTimed, readable.size());
  for (size_t k = 0; k < count; ++k) {
    const size_t i = readable[(2 * k + 1) * readable.size() / (2 * count)];
    try {
      std::vector<int64_t> frames;
      seconds += seconds_to_read(*clips[i].sample, options, frames);
      timed.push_back(i);
      if (!facts[i].is_video) continue;
      decoded += decoded_frames(frames, facts[i].info.gop_mean);
      decoded_dense += decoded_frames(frames, kUsefulGop);
    } catch (const Error&) {
      continue;  // damaged inside
    }
  }
  Speed speed;
  speed.clips = timed.size();
  if (seconds > 0) speed.per_second = static_cast<double>(timed.size()) / seconds;
  if (static_cast<double>(decoded) > kFewer * static_cast<double>(decoded_dense))
    speed.dense = measure_dense(clips, facts, timed, options);
  return speed;
}

}  // namespace engine
