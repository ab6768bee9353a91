#include "io/image_writer.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "io/atomic_file.h"
#include "io/av.h"
#include "io/text.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libswscale/swscale.h>
}

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr int kJpegScale = 2;  // of FFmpeg's quantiser: 2 is the best

av::Owned<AVCodecContext> open_encoder(AVCodecID codec, AVPixelFormat format, FrameSize size) {
  const AVCodec* encoder = avcodec_find_encoder(codec);
  if (!encoder)
    throw Error(concat("this FFmpeg has no encoder ", avcodec_get_name(codec), "; install a libavcodec with it"),
                exit_code::kNoDevice);
  av::Owned<AVCodecContext> context(avcodec_alloc_context3(encoder));
  if (!context) throw std::bad_alloc();
  context->width = size.width;
  context->height = size.height;
  context->pix_fmt = format;
  context->time_base = {1, 1};
  context->thread_count = 1;
  context->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_QSCALE;
  context->global_quality = kJpegScale * FF_QP2LAMBDA;
  const int code = avcodec_open2(context.get(), encoder, nullptr);
  ENGINE_CHECK(code >= 0, "image: the encoder refuses ", size.width, "x", size.height, ": ", av::error_text(code));
  return context;
}

void fill(AVFrame& frame, std::span<const uint8_t> rgb, FrameSize size) {
  const auto row = static_cast<size_t>(size.width) * 3;
  if (frame.format == AV_PIX_FMT_RGB24) {
    for (int y = 0; y < size.height; ++y)
      std::memcpy(frame.data[0] + static_cast<ptrdiff_t>(y) * frame.linesize[0], &rgb[static_cast<size_t>(y) * row],
                  row);
    return;
  }
  const av::Owned<SwsContext> scaler(sws_getContext(
      size.width, size.height, AV_PIX_FMT_RGB24, size.width, size.height, static_cast<AVPixelFormat>(frame.format),
      SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT | SWS_FULL_CHR_H_INP, nullptr, nullptr, nullptr));
  if (!scaler) throw std::bad_alloc();
  const uint8_t* source[] = {rgb.data()};
  const int stride[] = {static_cast<int>(row)};
  sws_scale(scaler.get(), source, stride, 0, size.height, frame.data, frame.linesize);
}

}  // namespace

void write_image(const std::string& path, std::span<const uint8_t> rgb, FrameSize size) {
  check_room(path, 1, size, rgb);
  av::prepare_library();
  const bool png = path.ends_with(".png");
  if (!png && !path.ends_with(".jpg") && !path.ends_with(".jpeg"))
    throw Error(concat(escaped(path), ": images are written as .png or .jpg"), exit_code::kUsage);
  const AVPixelFormat format = png ? AV_PIX_FMT_RGB24 : AV_PIX_FMT_YUVJ444P;
  const av::Owned<AVCodecContext> encoder = open_encoder(png ? AV_CODEC_ID_PNG : AV_CODEC_ID_MJPEG, format, size);
  const av::Owned<AVFrame> frame = av::make_frame();
  frame->format = format;
  frame->width = size.width;
  frame->height = size.height;
  frame->quality = encoder->global_quality;
  if (av_frame_get_buffer(frame.get(), 0) < 0) throw std::bad_alloc();
  fill(*frame, rgb, size);
  const av::Owned<AVPacket> packet = av::make_packet();
  int code = avcodec_send_frame(encoder.get(), frame.get());
  if (code >= 0) code = avcodec_receive_packet(encoder.get(), packet.get());
  ENGINE_CHECK(code >= 0, "image: cannot encode ", escaped(path), ": ", av::error_text(code));

  // Not write_file_atomically(): to wait for the disk would take longer than to encode most frames.
  const fs::path target(path),
      part = target.parent_path() / (std::string(kTemporaryPrefix) + target.filename().string());
  std::ofstream file(part, std::ios::binary);
  file.write(reinterpret_cast<const char*>(packet->data), packet->size);
  file.close();
  std::error_code failure;
  if (file) fs::rename(part, target, failure);
  if (file && !failure) return;
  fs::remove(part, failure);
  throw Error(concat("cannot write ", escaped(path), "; choose a place that can be written to, with space"),
              exit_code::kStorage);
}

}  // namespace engine
