#include "io/decoder.h"
#include "io/source_error.h"
#include "io/stages.h"
#include "io/text.h"

#include <algorithm>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/avutil.h>
}

namespace engine::av {

namespace {

// Codecs that people's videos come in; the long tail that FFmpeg also decodes is where most of its holes were found.
constexpr AVCodecID kCodecs[] = {
    AV_CODEC_ID_H264,       AV_CODEC_ID_HEVC,       AV_CODEC_ID_VP8,       AV_CODEC_ID_VP9,     AV_CODEC_ID_AV1,
    AV_CODEC_ID_MPEG1VIDEO, AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_MPEG4,     AV_CODEC_ID_MJPEG,   AV_CODEC_ID_FFV1,
    AV_CODEC_ID_MSMPEG4V1,  AV_CODEC_ID_MSMPEG4V2,  AV_CODEC_ID_MSMPEG4V3, AV_CODEC_ID_WMV1,    AV_CODEC_ID_WMV2,
    AV_CODEC_ID_WMV3,       AV_CODEC_ID_VC1,        AV_CODEC_ID_H263,      AV_CODEC_ID_FLV1,    AV_CODEC_ID_VP6,
    AV_CODEC_ID_VP6F,       AV_CODEC_ID_SVQ1,       AV_CODEC_ID_SVQ3,      AV_CODEC_ID_CINEPAK, AV_CODEC_ID_THEORA,
    AV_CODEC_ID_PRORES,     AV_CODEC_ID_DNXHD,      AV_CODEC_ID_DVVIDEO,   AV_CODEC_ID_HUFFYUV, AV_CODEC_ID_FFVHUFF,
    AV_CODEC_ID_UTVIDEO,    AV_CODEC_ID_RAWVIDEO,   AV_CODEC_ID_GIF,       AV_CODEC_ID_PNG};

const AVCodec* find_decoder(AVCodecID codec) {
  return std::ranges::find(kCodecs, codec) == std::end(kCodecs) ? nullptr : avcodec_find_decoder(codec);
}

}  // namespace

std::string codec_name(const AVCodecParameters& parameters) {
  if (parameters.codec_id != AV_CODEC_ID_NONE) return avcodec_get_name(parameters.codec_id);
  char tag[AV_FOURCC_MAX_STRING_SIZE];
  return concat("'", escaped(av_fourcc_make_string(tag, parameters.codec_tag)), "'");
}

void check_codec(const std::string& path, const AVCodecParameters& parameters) {
  if (!find_decoder(parameters.codec_id))
    throw SourceError(SourceFault::unsupported, concat(escaped(path), ": no decoder here for its codec ",
                                                       codec_name(parameters), "; convert it to H.264 with ffmpeg"));
}

Decoder::Decoder(const std::string& path, const AVCodecParameters& parameters, int reorder_depth, int64_t max_pixels) {
  check_codec(path, parameters);
  const AVCodec* const codec = find_decoder(parameters.codec_id);
  context_.reset(avcodec_alloc_context3(codec));
  if (!context_) throw Error("video: out of memory; use fewer --workers", exit_code::kMemory);
  int code = avcodec_parameters_to_context(context_.get(), &parameters);
  context_->thread_count = 1;
  context_->thread_type = FF_THREAD_SLICE;
  context_->max_pixels = max_pixels;
  context_->has_b_frames = std::max(context_->has_b_frames, reorder_depth);
  if (code >= 0) code = avcodec_open2(context_.get(), codec, nullptr);
  if (code < 0)
    throw SourceError(SourceFault::damaged,
                      concat(escaped(path), ": the ", codec->name, " decoder refuses it: ", error_text(code)));
}

bool Decoder::send(const AVPacket& packet) {
  const StageTimer timer(Stage::decode);
  return avcodec_send_packet(context_.get(), &packet) >= 0;
}

void Decoder::drain() {
  const StageTimer timer(Stage::decode);
  avcodec_send_packet(context_.get(), nullptr);
}

bool Decoder::restart() {
  switch (context_->codec_id) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC:
    case AV_CODEC_ID_VP8:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1:
    case AV_CODEC_ID_MJPEG:
      avcodec_flush_buffers(context_.get());
      return true;
    default:
      return false;
  }
}

bool Decoder::receive(AVFrame& frame) {
  const StageTimer timer(Stage::decode);
  return avcodec_receive_frame(context_.get(), &frame) >= 0;
}

}  // namespace engine::av

namespace engine {

std::vector<std::string> decodable_codecs() {
  std::vector<std::string> names;
  for (const AVCodecID codec : av::kCodecs)
    if (avcodec_find_decoder(codec) != nullptr) names.emplace_back(avcodec_get_name(codec));
  return names;
}

}  // namespace engine
