#include "train/short_videos.h"

#include <fmt/format.h>

#include <vector>

#include "engine/tensor.h"
#include "io/for_all.h"
#include "io/trim.h"

namespace engine {
namespace {

const char* told(const ClipOptions& options) {
  switch (options.short_videos) {
    case ShortVideo::repeat:
      return "their frames are repeated evenly";
    case ShortVideo::loop:
      return "they start again at their end";
    case ShortVideo::last:
      return "their last frame is repeated";
    case ShortVideo::pad:
      return "frames of the mean colour follow them";
    case ShortVideo::skip:
      return "they are left out";
    case ShortVideo::error:
      return "choose with --short what becomes of them";
    case ShortVideo::usual:
      break;
  }
  ClipOptions usual = options;
  usual.short_videos = options.sampling == Sampling::uniform ? ShortVideo::repeat : ShortVideo::last;
  return told(usual);
}

bool is_short(const Sample& sample, const ClipOptions& options, const VideoIndex* index, bool may_open) {
  try {
    const int64_t number = index ? index->find(sample.path) : -1;
    if (number >= 0 && sample.begin == 0 && sample.end == 0) {
      const IndexedVideo video = index->describe(number);
      return video.error.empty() && engine::is_short(video.frames, video.seconds, options);
    }
    if (!may_open) return false;
    const auto source = open_clip(sample, index);
    if (!by_time(options)) return engine::is_short(source->frame_count(), 0, options);
    return !source->times().empty() && engine::is_short(source->frame_count(), source->times().back(), options);
  } catch (const Error& error) {
    if (error.code() != exit_code::kData && error.code() != exit_code::kNoInput) throw;
    return false;  // the loader says what is wrong with it
  }
}

}  // namespace

std::string settle_short_videos(Splits& splits, const ClipOptions& options, const VideoIndex* index) {
  const bool skip = options.short_videos == ShortVideo::skip, refuse = options.short_videos == ShortVideo::error;
  std::string first;
  size_t count = 0, all = 0;
  const bool had_training_clips = !splits.train.samples.empty();
  for (Dataset* part : {&splits.train, &splits.val, &splits.test}) {
    std::vector<Sample>& samples = part->samples;
    std::vector<char> found(samples.size());
    for_all(std::ssize(samples), 0, [&](int64_t i) {
      found[static_cast<size_t>(i)] = is_short(samples[static_cast<size_t>(i)], options, index, skip || refuse);
    });
    all += samples.size();
    std::vector<Sample> kept;
    for (size_t i = 0; i < samples.size(); ++i) {
      if (found[i] && count++ == 0) first = samples[i].name;
      if (skip && !found[i]) kept.push_back(samples[i]);
    }
    if (skip) samples = std::move(kept);
  }
  if (count == 0) return "";
  const std::string line = fmt::format("{} of {} clips are shorter than {}, the first is {}: {}", count, all,
                                       length_of(options), first, told(options));
  if (refuse) throw Error(line, exit_code::kData);
  if (skip && had_training_clips && splits.train.samples.empty())
    throw Error(line + ", and there is nothing to train on; use fewer --frames", exit_code::kData);
  return "short   " + line + "\n";
}

}  // namespace engine
