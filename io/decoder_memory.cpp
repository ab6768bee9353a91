#include <algorithm>
#include <string_view>
#include <utility>

#include "io/decoder.h"
#include "io/track.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
}

namespace engine::av {
namespace {

constexpr int64_t kMostKept = 16;

int64_t up_to(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// ITU-T H.264, A.3.1 and table A-1: the most macroblocks that a stream of a level keeps.
int64_t kept_by_h264(const TrackFacts& facts, int stated_level) {
  constexpr std::pair<int, int64_t> kMacroblocks[] = {{10, 396},   {11, 900},    {20, 2376},   {21, 4752},
                                                      {30, 8100},  {31, 18000},  {32, 20480},  {41, 32768},
                                                      {42, 34816}, {50, 110400}, {52, 184320}, {62, 696320}};
  constexpr int64_t kLeast = 4;  // where a stream says less than it needs
  const int64_t picture = up_to(facts.width, 16) / 16 * (up_to(facts.height, 16) / 16);
  for (const auto& [level, macroblocks] : kMacroblocks)
    if (stated_level > 0 && stated_level <= level)
      return std::clamp(macroblocks / std::max<int64_t>(picture, 1), kLeast, kMostKept);
  return kMostKept;
}

// ITU-T H.265, A.4.2 and table A.8: six of the largest pictures that a level allows, more of smaller ones.
int64_t kept_by_hevc(const TrackFacts& facts, int stated_level) {
  constexpr std::pair<int, int64_t> kSamples[] = {{30, 36864},  {60, 122880},   {63, 245760},   {90, 552960},
                                                  {93, 983040}, {123, 2228224}, {156, 8912896}, {186, 35651584}};
  const int64_t picture = int64_t{facts.width} * facts.height;
  for (const auto& [level, samples] : kSamples)
    if (stated_level > 0 && stated_level <= level)
      return picture <= samples / 4 ? 16 : picture <= samples / 2 ? 12 : picture <= samples / 4 * 3 ? 8 : 6;
  return kMostKept;
}

struct Profile {
  int number = -1, level = -1;
};

// As the file states it: MP4 and Matroska do in the codec's own header (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1).
Profile profile_of(const TrackFacts& facts, std::string_view extradata) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(extradata[at]); };
  if (facts.level > 0) return {facts.profile & 0xff, facts.level};
  if (facts.codec_id == AV_CODEC_ID_H264 && extradata.size() > 3 && byte(0) == 1) return {byte(1), byte(3)};
  if (facts.codec_id == AV_CODEC_ID_HEVC && extradata.size() > 12 && byte(0) == 1) return {byte(1) & 0x1f, byte(12)};
  return {facts.profile, facts.level};
}

// Pictures that later ones may refer to, and those that wait to be shown.
int64_t pictures_kept(const TrackFacts& facts, int level) {
  switch (facts.codec_id) {
    case AV_CODEC_ID_H264:
      return kept_by_h264(facts, level);
    case AV_CODEC_ID_HEVC:
      return kept_by_hevc(facts, level);
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1:
      return 8;
    default:
      return 4;
  }
}

// Whether the profile allows 8 bits and 4:2:0 only.
bool is_plain(int codec, int profile) {
  constexpr int kMain = 1, kHigh = 100, kCavlc444 = 44;
  switch (codec) {
    case AV_CODEC_ID_H264:
      return profile > 0 && profile <= kHigh && profile != kCavlc444;
    case AV_CODEC_ID_HEVC:
      return profile == kMain;
    case AV_CODEC_ID_VP9:
      return profile == 0;
    default:
      return codec == AV_CODEC_ID_VP8;
  }
}

}  // namespace

int64_t decoder_bytes(const TrackFacts& facts, std::string_view extradata, bool rgb_first) {
  constexpr int kBlock = 64;       // FFmpeg's pictures have whole ones
  constexpr int64_t kTwoMore = 2;  // the picture being decoded and the one given out
  const int64_t width = up_to(facts.width, kBlock), height = up_to(facts.height, kBlock), pixels = width * height;
  const int stored = av_image_get_buffer_size(static_cast<AVPixelFormat>(facts.format), static_cast<int>(width),
                                              static_cast<int>(height), 1);
  const Profile profile = profile_of(facts, extradata);
  // Headers of MP4 and Matroska do not say the format: then 4:4:4 in 8 bits, or 4:2:0 in 16, unless the profile is for
  // less.
  const int64_t picture = stored > 0 ? stored : is_plain(facts.codec_id, profile.number) ? pixels * 3 / 2 : pixels * 3;
  // Motion vectors and the like are up to half of a picture. What it is converted in grows by doubling.
  return (pictures_kept(facts, profile.level) + kTwoMore) * (picture + picture / 2) +
         (rgb_first ? 9 * pixels : 2 * picture);
}

}  // namespace engine::av
