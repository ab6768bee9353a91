#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

#include "io/decoder.h"
#include "io/picture.h"
#include "io/stages.h"

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

// What a frame says its matrix is; BT.601 where it says nothing.
struct Matrix {
  int swscale;
  double kr, kb;
};

constexpr Matrix kBt709{SWS_CS_ITU709, 0.2126, 0.0722}, kBt601{SWS_CS_ITU601, 0.299, 0.114};

Matrix matrix_of(const AVFrame& frame) {
  switch (frame.colorspace) {
    case AVCOL_SPC_BT709:
      return kBt709;
    case AVCOL_SPC_FCC:
      return {SWS_CS_FCC, 0.30, 0.11};
    case AVCOL_SPC_SMPTE240M:
      return {SWS_CS_SMPTE240M, 0.212, 0.087};
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
      return {SWS_CS_BT2020, 0.2627, 0.0593};
    default:
      return kBt601;
  }
}

Matrix matrix_of(const AVFrame& frame, Untagged untagged) {
  const bool large = frame.width >= 1280 || frame.height >= 720;
  if (frame.colorspace == AVCOL_SPC_UNSPECIFIED &&
      (untagged == Untagged::bt709 || (untagged == Untagged::automatic && large)))
    return kBt709;
  return matrix_of(frame);
}

// Only YUV and grey have a range. Formats named yuvj are full range by definition, and grey is unless it says
// otherwise.
bool is_full_range(const AVFrame& frame, const AVPixFmtDescriptor& format) {
  if (frame.color_range != AVCOL_RANGE_UNSPECIFIED) return frame.color_range == AVCOL_RANGE_JPEG;
  return std::strncmp(format.name, "yuvj", 4) == 0 || std::strncmp(format.name, "gray", 4) == 0;
}

// True for formats whose samples lie in whole bytes, the low one first, and mean a brightness.
bool lies_apart(const AVPixFmtDescriptor& format) {
  constexpr uint64_t kOther = AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_HWACCEL |
                              AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BAYER;
  if ((format.flags & kOther) || std::strncmp(format.name, "xyz", 3) == 0) return false;
  const int count = format.nb_components >= 3 ? 3 : 1, depth = format.comp[0].depth;
  if (depth < 8 || depth > 16 || (depth > 8 && (format.flags & AV_PIX_FMT_FLAG_BE))) return false;
  for (int k = 0; k < count; ++k) {
    const AVComponentDescriptor& c = format.comp[k];
    if (c.depth != depth || c.shift != format.comp[0].shift || c.shift + depth > (depth > 8 ? 16 : 8)) return false;
    // Numbers of more than 8 bits that are packed into words are bits.
    if (c.step % (depth > 8 ? 2 : 1) != 0 || c.offset % (depth > 8 ? 2 : 1) != 0) return false;
  }
  return count == 1 || format.comp[0].plane != format.comp[1].plane || format.comp[0].offset != format.comp[1].offset;
}

// Where the first chroma sample lies from the first of the others along an axis of which it is every 2^shift-th.
double site(bool at_start, bool at_end, int shift) {
  const double last = std::exp2(shift) - 1;
  return at_start ? 0 : at_end ? last : last / 2;
}

StoredPicture stored_picture(const AVFrame& frame, const AVPixFmtDescriptor& format, Untagged untagged) {
  StoredPicture picture{.width = frame.width, .height = frame.height, .samples = {}};
  const bool has_colour = format.nb_components >= 3;
  for (size_t k = 0; k < 3; ++k) {
    const AVComponentDescriptor& c = format.comp[has_colour ? k : 0];
    picture.samples[k] = {frame.data[c.plane] + c.offset, frame.linesize[c.plane], c.step};
  }
  const int bits = format.comp[0].depth, shift = format.comp[0].shift;
  picture.wide = bits > 8;
  const bool full_range = is_full_range(frame, format);
  if (format.flags & AV_PIX_FMT_FLAG_RGB) {
    const double unit = 255 / (std::exp2(bits) - 1);
    picture.to_rgb = {unit, 0, 0, 0, 0, unit, 0, 0, 0, 0, unit, 0};
  } else if (has_colour) {
    const Matrix matrix = matrix_of(frame, untagged);
    picture.to_rgb = yuv_to_rgb(matrix.kr, matrix.kb, full_range, bits);
    picture.shift_x = format.log2_chroma_w, picture.shift_y = format.log2_chroma_h;
    const auto place = frame.chroma_location;
    const bool top = place == AVCHROMA_LOC_TOPLEFT || place == AVCHROMA_LOC_TOP;
    const bool bottom = place == AVCHROMA_LOC_BOTTOMLEFT || place == AVCHROMA_LOC_BOTTOM;
    const bool middle = place == AVCHROMA_LOC_CENTER || place == AVCHROMA_LOC_TOP || place == AVCHROMA_LOC_BOTTOM;
    picture.site_x = site(!middle, false, picture.shift_x);  // at the left where nothing is said, as MPEG-2 and H.264
    picture.site_y = site(top, bottom, picture.shift_y);
  } else {  // chroma in the middle
    ColourMatrix& m = picture.to_rgb;
    m = yuv_to_rgb(kBt601.kr, kBt601.kb, full_range, bits);
    for (size_t row = 0; row < 12; row += 4) {
      m[row + 3] += (m[row + 1] + m[row + 2]) * std::exp2(bits - 1);
      m[row + 1] = m[row + 2] = 0;
    }
  }
  for (size_t i = 0; i < 12; ++i)
    if (i % 4 < 3) picture.to_rgb[i] *= std::exp2(-shift);
  return picture;
}

std::atomic<int64_t> made_rgb = 0;

}  // namespace

bool is_seen_directly(int pixel_format) {
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(pixel_format));
  return format && lies_apart(*format);
}

struct Converter::Impl {
  // Rows of swscale's output end on a boundary with room behind it: its vector code writes past the last pixel.
  static constexpr size_t kAlign = 64;

  Kind kind{};
  Owned<SwsContext> context;
  std::vector<uint8_t> scratch, rgb;
  PictureViewer viewer;

  void convert(const AVFrame& frame, const Matrix& matrix, const Orientation& orientation, FrameSize size,
               uint8_t* result);
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
  impl_->convert(frame, matrix_of(frame), orientation, size, rgb);
}

void Converter::convert(const AVFrame& frame, const Orientation& orientation, const FrameView& view, Untagged untagged,
                        uint8_t* rgb) {
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  if (!view.rgb_first && format && frame.width > 0 && frame.height > 0 && lies_apart(*format)) {
    StoredPicture picture = stored_picture(frame, *format, untagged);
    picture.orientation = orientation;
    return impl_->viewer.see(picture, view, rgb);
  }
  made_rgb += !view.rgb_first;
  const FrameSize shown =
      orientation.transpose ? FrameSize{frame.height, frame.width} : FrameSize{frame.width, frame.height};
  impl_->rgb.resize(shown.bytes());
  impl_->convert(frame, matrix_of(frame, untagged), orientation, shown, impl_->rgb.data());
  impl_->viewer.see(packed_rgb(impl_->rgb.data(), shown, int64_t{3} * shown.width), view, rgb);
}

int64_t Converter::pictures_made_rgb() { return made_rgb; }

void Converter::Impl::convert(const AVFrame& frame, const Matrix& matrix, const Orientation& orientation,
                              FrameSize size, uint8_t* result) {
  const StageTimer timer(Stage::convert);
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  if (!format || frame.width <= 0 || frame.height <= 0 ||
      !sws_isSupportedInput(static_cast<AVPixelFormat>(frame.format)))
    throw Error(concat("video: no conversion from pixel format ", format ? format->name : "unknown"), exit_code::kData);
  const auto [to_width, to_height] =
      orientation.transpose ? std::tuple(size.height, size.width) : std::tuple(size.width, size.height);
  prepare(
      {frame.width, frame.height, frame.format, matrix.swscale, is_full_range(frame, *format), to_width, to_height});
  const size_t row = static_cast<size_t>(to_width) * 3;
  const size_t stride = (row + 2 * kAlign - 1) / kAlign * kAlign;
  scratch.resize(stride * static_cast<size_t>(to_height) + kAlign);
  void* memory = scratch.data();
  size_t room = scratch.size();
  auto* aligned = static_cast<uint8_t*>(std::align(kAlign, stride * static_cast<size_t>(to_height), memory, room));
  const std::array<uint8_t*, 4> planes = {aligned};
  const std::array<int, 4> strides = {static_cast<int>(stride)};
  sws_scale(context.get(), frame.data, frame.linesize, 0, frame.height, planes.data(), strides.data());
  turn(aligned, stride, orientation, size, result);
}

}  // namespace engine::av
