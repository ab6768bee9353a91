#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <vector>

#include "io/decoder.h"

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

namespace engine::av {

namespace {

// Everything that a prepared conversion depends on.
struct Kind {
  int width, height, format, matrix, full_range, to_width, to_height;
  bool operator==(const Kind&) const = default;
};

int matrix_of(const AVFrame& frame) {
  switch (frame.colorspace) {
    case AVCOL_SPC_BT709:
      return SWS_CS_ITU709;
    case AVCOL_SPC_FCC:
      return SWS_CS_FCC;
    case AVCOL_SPC_SMPTE240M:
      return SWS_CS_SMPTE240M;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
      return SWS_CS_BT2020;
    default:
      return SWS_CS_ITU601;
  }
}

// Only YUV and grey have a range. Formats named yuvj are full range by definition, and grey is unless it says
// otherwise.
bool is_full_range(const AVFrame& frame, const AVPixFmtDescriptor& format) {
  if (frame.color_range != AVCOL_RANGE_UNSPECIFIED) return frame.color_range == AVCOL_RANGE_JPEG;
  return std::strncmp(format.name, "yuvj", 4) == 0 || std::strncmp(format.name, "gray", 4) == 0;
}

}  // namespace

struct Converter::Impl {
  // Rows of swscale's output end on a boundary with room behind it: its vector code writes past the last pixel.
  static constexpr size_t kAlign = 64;

  Kind kind{};
  Owned<SwsContext> context;
  std::vector<uint8_t> scratch;

  void prepare(const Kind& wanted) {
    if (context && wanted == kind) return;
    const auto from = static_cast<AVPixelFormat>(wanted.format);
    context.reset(sws_getContext(wanted.width, wanted.height, from, wanted.to_width, wanted.to_height, AV_PIX_FMT_RGB24,
                                 SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, nullptr, nullptr, nullptr));
    if (!context)
      throw Error(concat("video: no conversion from ", wanted.width, "x", wanted.height, " ", av_get_pix_fmt_name(from),
                         " to ", wanted.to_width, "x", wanted.to_height, " RGB"),
                  exit_code::kData);
    const int* matrix = sws_getCoefficients(wanted.matrix);
    constexpr int kUnit = 1 << 16;
    sws_setColorspaceDetails(context.get(), matrix, wanted.full_range, matrix, 1, 0, kUnit, kUnit);
    kind = wanted;
  }
};

Converter::Converter() : impl_(std::make_unique<Impl>()) {}
Converter::~Converter() = default;
Converter::Converter(Converter&&) noexcept = default;
Converter& Converter::operator=(Converter&&) noexcept = default;

namespace {

// Copies a packed RGB picture of to_width x to_height (before turning) with rows `stride` bytes apart.
void turn(const uint8_t* source, size_t stride, const Orientation& orientation, FrameSize size, uint8_t* rgb) {
  const size_t width = static_cast<size_t>(size.width), height = static_cast<size_t>(size.height);
  if (orientation.identity()) {
    for (size_t y = 0; y < height; ++y) std::memcpy(rgb + y * width * 3, source + y * stride, width * 3);
    return;
  }
  for (size_t y = 0; y < height; ++y) {
    const size_t v = orientation.flip_y ? height - 1 - y : y;
    for (size_t x = 0; x < width; ++x) {
      const size_t u = orientation.flip_x ? width - 1 - x : x;
      const uint8_t* pixel = orientation.transpose ? source + u * stride + v * 3 : source + v * stride + u * 3;
      std::memcpy(rgb + (y * width + x) * 3, pixel, 3);
    }
  }
}

}  // namespace

void Converter::convert(const AVFrame& frame, const Orientation& orientation, FrameSize size, uint8_t* rgb) {
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  if (!format || frame.width <= 0 || frame.height <= 0 ||
      !sws_isSupportedInput(static_cast<AVPixelFormat>(frame.format)))
    throw Error(concat("video: no conversion from pixel format ", format ? format->name : "unknown"), exit_code::kData);
  const auto [to_width, to_height] =
      orientation.transpose ? std::tuple(size.height, size.width) : std::tuple(size.width, size.height);
  impl_->prepare(
      {frame.width, frame.height, frame.format, matrix_of(frame), is_full_range(frame, *format), to_width, to_height});
  const size_t row = static_cast<size_t>(to_width) * 3;
  const size_t stride = (row + 2 * Impl::kAlign - 1) / Impl::kAlign * Impl::kAlign;
  auto& scratch = impl_->scratch;
  scratch.resize(stride * static_cast<size_t>(to_height) + Impl::kAlign);
  void* memory = scratch.data();
  size_t room = scratch.size();
  auto* aligned =
      static_cast<uint8_t*>(std::align(Impl::kAlign, stride * static_cast<size_t>(to_height), memory, room));
  const std::array<uint8_t*, 4> planes = {aligned};
  const std::array<int, 4> strides = {static_cast<int>(stride)};
  sws_scale(impl_->context.get(), frame.data, frame.linesize, 0, frame.height, planes.data(), strides.data());
  turn(aligned, stride, orientation, size, rgb);
}

}  // namespace engine::av
