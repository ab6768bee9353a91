#include "io/video_writer.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include <system_error>

#include "engine/tensor.h"
#include "io/atomic_file.h"
#include "io/av.h"

namespace engine {

namespace {

struct CloseOutput {
  void operator()(AVFormatContext* format) const {
    avio_closep(&format->pb);
    avformat_free_context(format);
  }
};
using Output = std::unique_ptr<AVFormatContext, CloseOutput>;
using Encoder = av::Owned<AVCodecContext>;
using Scaler = av::Owned<SwsContext>;

template <class Pointer>
Pointer allocated(Pointer pointer) {
  if (!pointer) throw std::bad_alloc();
  return pointer;
}

bool high_definition(int height) { return height >= 720; }

Encoder open_encoder(const std::filesystem::path& path, int width, int height, int fps,
                     const VideoWriterOptions& options) {
  const AVCodec* codec = avcodec_find_encoder_by_name("libx264");
  if (!codec) {
    throw Error(
        concat("cannot write ", path.string(), ": this FFmpeg has no encoder libx264; install a libavcodec built ",
               "with it (Debian package libavcodec59)"),
        exit_code::kNoDevice);
  }
  Encoder encoder(allocated(avcodec_alloc_context3(codec)));
  encoder->width = width;
  encoder->height = height;
  encoder->time_base = {1, fps};
  encoder->framerate = {fps, 1};
  encoder->sample_aspect_ratio = {1, 1};
  encoder->pix_fmt = AV_PIX_FMT_YUV420P;
  encoder->color_range = AVCOL_RANGE_MPEG;
  const bool hd = high_definition(height);
  encoder->colorspace = hd ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
  encoder->color_primaries = hd ? AVCOL_PRI_BT709 : AVCOL_PRI_SMPTE170M;
  encoder->color_trc = hd ? AVCOL_TRC_BT709 : AVCOL_TRC_SMPTE170M;
  encoder->chroma_sample_location = AVCHROMA_LOC_LEFT;
  if (options.gop > 0) encoder->gop_size = options.gop;
  encoder->thread_count = 1;  // x264's rate control depends on the number of threads
  encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
  ENGINE_CHECK(av_opt_set(encoder->priv_data, "preset", "veryfast", 0) >= 0 &&
                   av_opt_set_double(encoder->priv_data, "crf", options.crf, 0) >= 0,
               "VideoWriter: libx264 does not take its options");
  const int code = avcodec_open2(encoder.get(), codec, nullptr);
  ENGINE_CHECK(code >= 0, "VideoWriter: libx264 refuses ", width, "x", height, " at ", fps, " frames a second for ",
               path.string(), ": ", av::error_text(code));
  return encoder;
}

// RGB bytes to yuv420p of the same size with the matrix that the file is tagged with.
Scaler open_scaler(int width, int height) {
  Scaler scaler(allocated(sws_getContext(width, height, AV_PIX_FMT_RGB24, width, height, AV_PIX_FMT_YUV420P,
                                         SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT | SWS_FULL_CHR_H_INP, nullptr,
                                         nullptr, nullptr)));
  const int* matrix = sws_getCoefficients(high_definition(height) ? SWS_CS_ITU709 : SWS_CS_ITU601);
  constexpr int kFull = 1, kLimited = 0, kOne = 1 << 16;
  ENGINE_CHECK(sws_setColorspaceDetails(scaler.get(), matrix, kFull, matrix, kLimited, 0, kOne, kOne) >= 0,
               "VideoWriter: swscale cannot convert RGB to yuv420p");
  return scaler;
}

av::Owned<AVFrame> new_picture(const AVCodecContext& encoder) {
  av::Owned<AVFrame> frame = av::make_frame();
  frame->format = encoder.pix_fmt;
  frame->width = encoder.width;
  frame->height = encoder.height;
  if (av_frame_get_buffer(frame.get(), 0) < 0) throw std::bad_alloc();
  return frame;
}

}  // namespace

struct VideoWriter::State {
  std::filesystem::path path, part;
  Encoder encoder;
  Scaler scaler;
  av::Owned<AVFrame> frame;
  av::Owned<AVPacket> packet;
  Output format;  // last: closed before the rest goes
  int64_t frames = 0;
  bool part_exists = false;

  State(std::filesystem::path target, int width, int height, int fps, const VideoWriterOptions& options)
      : path(std::move(target)),
        part(path.parent_path() / (std::string(kTemporaryPrefix) + path.filename().string())),
        encoder(open_encoder(path, width, height, fps, options)),
        scaler(open_scaler(width, height)),
        frame(new_picture(*encoder)),
        packet(av::make_packet()) {}

  ~State() {
    format.reset();
    std::error_code ignored;
    if (part_exists) std::filesystem::remove(part, ignored);
  }

  [[noreturn]] void storage_error(const std::string& why) const {
    throw Error(
        concat("cannot write ", path.string(), ": ", why, "; choose a place that can be written to, with space"),
        exit_code::kStorage);
  }

  void open_file() {
    AVFormatContext* made = nullptr;
    if (avformat_alloc_output_context2(&made, nullptr, "mp4", part.c_str()) < 0) throw std::bad_alloc();
    format.reset(made);
    format->flags |= AVFMT_FLAG_BITEXACT;  // no date of making, no version of the library
    AVStream* stream = allocated(avformat_new_stream(format.get(), nullptr));
    stream->time_base = encoder->time_base;
    stream->avg_frame_rate = encoder->framerate;
    stream->sample_aspect_ratio = encoder->sample_aspect_ratio;
    if (avcodec_parameters_from_context(stream->codecpar, encoder.get()) < 0) throw std::bad_alloc();
    int code = avio_open(&format->pb, part.c_str(), AVIO_FLAG_WRITE);
    if (code < 0) storage_error(av::error_text(code));
    part_exists = true;
    code = avformat_write_header(format.get(), nullptr);
    if (code < 0) storage_error(av::error_text(code));
  }

  // Sends one frame, or none to flush, and writes the packets that come out.
  void encode(const AVFrame* picture) {
    int code = avcodec_send_frame(encoder.get(), picture);
    ENGINE_CHECK(code >= 0, "VideoWriter: libx264 refuses frame ", frames, " of ", path.string(), ": ",
                 av::error_text(code));
    while ((code = avcodec_receive_packet(encoder.get(), packet.get())) >= 0) {
      packet->duration = 1;  // otherwise the file would end where its last frame begins
      packet->stream_index = 0;
      av_packet_rescale_ts(packet.get(), encoder->time_base, format->streams[0]->time_base);
      const int written = av_interleaved_write_frame(format.get(), packet.get());
      if (written < 0) storage_error(av::error_text(written));
    }
    ENGINE_CHECK(code == AVERROR(EAGAIN) || code == AVERROR_EOF, "VideoWriter: libx264 fails at frame ", frames, " of ",
                 path.string(), ": ", av::error_text(code));
  }
};

VideoWriter::VideoWriter(std::filesystem::path path, int width, int height, int fps,
                         const VideoWriterOptions& options) {
  constexpr int kSmallest = 16, kLargest = 16384, kFastest = 1000, kWorst = 51;
  const auto in_range = [&](int side) { return side >= kSmallest && side <= kLargest && side % 2 == 0; };
  const bool valid =
      in_range(width) && in_range(height) && fps >= 1 && fps <= kFastest && options.crf >= 0 && options.crf <= kWorst;
  if (!valid) {
    throw Error(concat("cannot write ", path.string(), ": ", width, "x", height, " at ", fps, " frames a second, crf ",
                       options.crf, "; both sides must be even, 16 to 16384, the rate 1 to 1000, the crf 0 to 51"),
                exit_code::kUsage);
  }
  av::prepare_library();
  state_ = std::make_unique<State>(std::move(path), width, height, fps, options);
  state_->open_file();
}

VideoWriter::~VideoWriter() = default;

void VideoWriter::write(std::span<const uint8_t> rgb) {
  ENGINE_CHECK(state_, "VideoWriter::write: the file is finished");
  State& state = *state_;
  const int width = state.encoder->width, height = state.encoder->height;
  const size_t expected = static_cast<size_t>(width) * static_cast<size_t>(height) * 3;
  ENGINE_CHECK(rgb.size() == expected, "VideoWriter::write: a frame of ", width, "x", height, " has ", expected,
               " bytes, not ", rgb.size());
  if (av_frame_make_writable(state.frame.get()) < 0) throw std::bad_alloc();
  const uint8_t* source[] = {rgb.data()};
  const int stride[] = {width * 3};
  sws_scale(state.scaler.get(), source, stride, 0, height, state.frame->data, state.frame->linesize);
  state.frame->pts = state.frames;
  state.encode(state.frame.get());
  ++state.frames;
}

void VideoWriter::finish() {
  ENGINE_CHECK(state_ && state_->frames > 0, "VideoWriter::finish: nothing was written, or the file is finished");
  State& state = *state_;
  state.encode(nullptr);
  int code = av_write_trailer(state.format.get());
  if (code < 0) state.storage_error(av::error_text(code));
  code = avio_closep(&state.format->pb);  // the last buffer is written here, so a full disk may show here first
  if (code < 0) state.storage_error(av::error_text(code));
  std::error_code failure;
  std::filesystem::rename(state.part, state.path, failure);
  if (failure) state.storage_error(failure.message());
  state.part_exists = false;
  state_.reset();
}

}  // namespace engine
