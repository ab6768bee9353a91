#include <algorithm>
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
int64_t kept_by_h264(const TrackFacts& facts) {
  constexpr std::pair<int, int64_t> kMacroblocks[] = {{10, 396},   {11, 900},    {20, 2376},   {21, 4752},
                                                      {30, 8100},  {31, 18000},  {32, 20480},  {41, 32768},
                                                      {42, 34816}, {50, 110400}, {52, 184320}, {62, 696320}};
  constexpr int64_t kLeast = 4;  // where a stream says less than it needs
  const int64_t picture = up_to(facts.width, 16) / 16 * (up_to(facts.height, 16) / 16);
  for (const auto& [level, macroblocks] : kMacroblocks)
    if (facts.level > 0 && facts.level <= level)
      return std::clamp(macroblocks / std::max<int64_t>(picture, 1), kLeast, kMostKept);
  return kMostKept;
}

// ITU-T H.265, A.4.2 and table A.8: six of the largest pictures that a level allows, more of smaller ones.
int64_t kept_by_hevc(const TrackFacts& facts) {
  constexpr std::pair<int, int64_t> kSamples[] = {{30, 36864},  {60, 122880},   {63, 245760},   {90, 552960},
                                                  {93, 983040}, {123, 2228224}, {156, 8912896}, {186, 35651584}};
  const int64_t picture = int64_t{facts.width} * facts.height;
  for (const auto& [level, samples] : kSamples)
    if (facts.level > 0 && facts.level <= level)
      return picture <= samples / 4 ? 16 : picture <= samples / 2 ? 12 : picture <= samples / 4 * 3 ? 8 : 6;
  return kMostKept;
}

// Pictures that later ones may refer to.
int64_t pictures_kept(const TrackFacts& facts) {
  switch (facts.codec_id) {
    case AV_CODEC_ID_H264:
      return kept_by_h264(facts);
    case AV_CODEC_ID_HEVC:
      return kept_by_hevc(facts);
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1:
      return 8;
    default:
      return 4;
  }
}

// Whether the profile allows 8 bits and 4:2:0 only.
bool is_plain(const TrackFacts& facts) {
  constexpr int kMain = 1, kHigh = 100, kCavlc444 = 44;
  switch (facts.codec_id) {
    case AV_CODEC_ID_H264:
      return facts.profile > 0 && (facts.profile & 0xff) <= kHigh && (facts.profile & 0xff) != kCavlc444;
    case AV_CODEC_ID_HEVC:
      return facts.profile == kMain;
    case AV_CODEC_ID_VP9:
      return facts.profile == 0;
    default:
      return facts.codec_id == AV_CODEC_ID_VP8;
  }
}

}  // namespace

int64_t decoder_bytes(const TrackFacts& facts, bool rgb_first) {
  constexpr int kBlock = 64;       // FFmpeg's pictures have whole ones
  constexpr int64_t kTwoMore = 2;  // the picture being decoded and the one given out
  const int64_t width = up_to(facts.width, kBlock), height = up_to(facts.height, kBlock), pixels = width * height;
  const int stored = av_image_get_buffer_size(static_cast<AVPixelFormat>(facts.format), static_cast<int>(width),
                                              static_cast<int>(height), 1);
  // Headers of MP4 and Matroska do not say the format: then 4:4:4 in 8 bits, or 4:2:0 in 16, unless the profile is for
  // less.
  const int64_t picture = stored > 0 ? stored : is_plain(facts) ? pixels * 3 / 2 : pixels * 3;
  // Motion vectors and the like are up to half of a picture. What it is converted in grows by doubling.
  return (pictures_kept(facts) + kTwoMore) * (picture + picture / 2) + (rgb_first ? 9 * pixels : 2 * picture);
}

}  // namespace engine::av
