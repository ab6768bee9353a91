#include "io/image_reader.h"

#include <cstring>

#include "io/decoder.h"
#include "io/text.h"

extern "C" {
#include <libavcodec/avcodec.h>
}

namespace engine {
namespace {

AVCodecID codec_of(const std::string& bytes) {
  if (bytes.starts_with("\x89PNG")) return AV_CODEC_ID_PNG;
  if (bytes.starts_with("\xff\xd8\xff")) return AV_CODEC_ID_MJPEG;
  return AV_CODEC_ID_NONE;
}

}  // namespace

struct ImageReader::Impl {
  SourceOptions options;
  av::Converter converter;
  av::Owned<AVFrame> picture;
};

ImageReader::ImageReader(const SourceOptions& options) : impl_(std::make_unique<Impl>()) {
  av::prepare_library();
  impl_->options = options;
  impl_->picture = av::make_frame();
}
ImageReader::~ImageReader() = default;

// Straight into the decoder: no demuxer guesses at the file, and nothing but its own bytes is used.
FrameSize ImageReader::decode(const std::string& bytes, const std::string& path) {
  const av::Owned<AVCodecParameters> parameters(avcodec_parameters_alloc());
  if (!parameters) throw Error("image: out of memory; use fewer --workers", exit_code::kMemory);
  parameters->codec_type = AVMEDIA_TYPE_VIDEO;
  parameters->codec_id = codec_of(bytes);
  if (parameters->codec_id == AV_CODEC_ID_NONE)
    throw Error(concat(escaped(path), ": neither PNG nor JPEG (starts with \"", escaped(bytes, 16), "\")"),
                exit_code::kData);
  const av::Owned<AVPacket> packet = av::make_packet();
  if (av_new_packet(packet.get(), static_cast<int>(bytes.size())) < 0)
    throw Error("image: out of memory; use fewer --workers", exit_code::kMemory);
  std::memcpy(packet->data, bytes.data(), bytes.size());
  const int64_t max_pixels = impl_->options.max_pixels;
  av::Decoder decoder(path, *parameters, 0, max_pixels);
  decoder.send(*packet);
  decoder.drain();
  if (!decoder.receive(*impl_->picture))
    throw Error(concat(escaped(path), ": the image is damaged or larger than ", max_pixels, " pixels"),
                exit_code::kData);
  return {impl_->picture->width, impl_->picture->height};
}

void ImageReader::write(FrameSize size, uint8_t* rgb) { impl_->converter.convert(*impl_->picture, {}, size, rgb); }

void ImageReader::write(const FrameView& view, uint8_t* rgb) {
  impl_->converter.convert(*impl_->picture, {}, view, impl_->options.untagged, rgb);
}

}  // namespace engine
