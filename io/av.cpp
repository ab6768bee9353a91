#include "io/av.h"

#include <mutex>

#include "engine/tensor.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libswscale/swscale.h>
}

namespace engine::av {

void Release::operator()(AVCodecContext* context) const noexcept { avcodec_free_context(&context); }
void Release::operator()(AVCodecParameters* parameters) const noexcept { avcodec_parameters_free(&parameters); }
void Release::operator()(AVFormatContext* context) const noexcept { avformat_close_input(&context); }
void Release::operator()(AVFrame* frame) const noexcept { av_frame_free(&frame); }
void Release::operator()(AVPacket* packet) const noexcept { av_packet_free(&packet); }
void Release::operator()(SwsContext* context) const noexcept { sws_freeContext(context); }

namespace {

template <class T>
Owned<T> owned(T* object) {
  if (!object) throw Error("video: out of memory; use fewer --workers", exit_code::kMemory);
  return Owned<T>(object);
}

}  // namespace

Owned<AVFrame> make_frame() { return owned(av_frame_alloc()); }
Owned<AVPacket> make_packet() { return owned(av_packet_alloc()); }

std::string error_text(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

void prepare_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    av_log_set_level(AV_LOG_QUIET);
    av_max_alloc(size_t{1} << 30);
  });
}

}  // namespace engine::av
