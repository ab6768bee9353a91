#include "io/video_info.h"

#include <string_view>

#include "io/decoder.h"

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
  info.alpha = info.alpha || (format && (format->flags & AV_PIX_FMT_FLAG_ALPHA));
  info.converted = format && !is_seen_directly(pixel_format);
  info.matrix = rgb ? "rgb" : matrix_named(matrix);
  if (rgb || name.starts_with("yuvj") || range == AVCOL_RANGE_JPEG)
    info.range = "full";
  else
    info.range = range == AVCOL_RANGE_MPEG ? "limited" : "unstated";
}

}  // namespace

void describe(const AVCodecParameters& parameters, VideoInfo& info) {
  describe_colour(parameters.format, parameters.color_space, parameters.color_range, info);
  info.interlaced = parameters.field_order > AV_FIELD_PROGRESSIVE;
}

void describe(const AVFrame& picture, VideoInfo& info) {
  describe_colour(picture.format, picture.colorspace, picture.color_range, info);
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
  const bool interlaced = (picture.flags & AV_FRAME_FLAG_INTERLACED) != 0;
#else
  const bool interlaced = picture.interlaced_frame != 0;
#endif
  info.interlaced = info.interlaced || interlaced;
  const bool turned = info.rotation % 180 != 0;
  const FrameSize shown = turned ? FrameSize{picture.height, picture.width} : FrameSize{picture.width, picture.height};
  info.varied_size = info.varied_size || shown != info.size;
  if (picture.sample_aspect_ratio.num > 0 && info.pixel_aspect == 1)
    info.pixel_aspect = av_q2d(picture.sample_aspect_ratio);
}

}  // namespace engine::av
