#include "io/video_info.h"

#include <algorithm>
#include <string_view>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/pixdesc.h>
}

namespace engine::av {
namespace {

std::string matrix_named(AVColorSpace matrix) {
  switch (matrix) {
    case AVCOL_SPC_RGB:
      return "rgb";
    case AVCOL_SPC_BT709:
      return "bt709";
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
      return "bt601";
    case AVCOL_SPC_UNSPECIFIED:
    case AVCOL_SPC_RESERVED:
      return "unstated";
    default: {
      const char* name = av_color_space_name(matrix);
      return name ? name : "unknown";
    }
  }
}

// Formats named yuvj are full range by definition; RGB has no other.
void describe_colour(int pixel_format, AVColorSpace matrix, AVColorRange range, VideoInfo& info) {
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(pixel_format));
  const std::string_view name = format ? format->name : "";
  const bool rgb = format && (format->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL));
  info.pixel_format = name;
  info.matrix = rgb ? "rgb" : matrix_named(matrix);
  if (rgb || name.starts_with("yuvj") || range == AVCOL_RANGE_JPEG)
    info.range = "full";
  else
    info.range = range == AVCOL_RANGE_MPEG ? "limited" : "unstated";
}

void describe_keys(const PacketList& list, VideoInfo& info) {
  const int64_t count = std::ssize(list.packets);
  int64_t start = 0, groups = 1;
  for (int64_t i = 1; i <= count; ++i) {
    if (i < count && !list.packets[static_cast<size_t>(i)].key) continue;
    info.gop_max = std::max(info.gop_max, i - start);
    groups += i < count;
    start = i;
  }
  info.gop_mean = static_cast<double>(count) / static_cast<double>(groups);
}

// Whether the steps between frames differ by more than half, beyond what rounding to a clock of milliseconds does.
bool has_variable_rate(const PacketList& list) {
  constexpr double kRounding = 0.002;
  double shortest = 1e300, longest = 0;
  for (size_t i = 1; i < list.times.size(); ++i) {
    shortest = std::min(shortest, list.times[i] - list.times[i - 1]);
    longest = std::max(longest, list.times[i] - list.times[i - 1]);
  }
  return list.times.size() > 2 && longest > 1.5 * shortest + kRounding;
}

}  // namespace

void describe(const AVStream& stream, const PacketList& list, VideoInfo& info) {
  const AVCodecParameters& parameters = *stream.codecpar;
  describe_colour(parameters.format, parameters.color_space, parameters.color_range, info);
  info.interlaced = parameters.field_order > AV_FIELD_PROGRESSIVE;
  const AVRational aspect =
      stream.sample_aspect_ratio.num > 0 ? stream.sample_aspect_ratio : parameters.sample_aspect_ratio;
  info.pixel_aspect = aspect.num > 0 && aspect.den > 0 ? av_q2d(aspect) : 1;
  info.stated_frames = stream.nb_frames;
  info.packets = std::ssize(list.packets);
  info.variable_rate = list.ordered && has_variable_rate(list);
  describe_keys(list, info);
}

void describe(const AVFrame& picture, VideoInfo& info) {
  describe_colour(picture.format, picture.colorspace, picture.color_range, info);
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
  const bool interlaced = (picture.flags & AV_FRAME_FLAG_INTERLACED) != 0;
#else
  const bool interlaced = picture.interlaced_frame != 0;
#endif
  info.interlaced = info.interlaced || interlaced;
  if (picture.sample_aspect_ratio.num > 0 && info.pixel_aspect == 1)
    info.pixel_aspect = av_q2d(picture.sample_aspect_ratio);
}

}  // namespace engine::av
