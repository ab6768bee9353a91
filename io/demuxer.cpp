#include "io/demuxer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "io/decoder.h"
#include "io/text.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <libavutil/dict.h>
}

namespace engine::av {

namespace fs = std::filesystem;

namespace {

// Containers of video, and of sound to say that it is that, and nothing that names other files or network addresses
// (hls, dash, concat, image2, sdp, lavfi).
constexpr const char* kContainers =
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,flv,asf,ogg,mxf,gif,mjpeg,yuv4mpegpipe,mp3";
constexpr std::string_view kPlaylists[] = {"#EXTM3U", "ffconcat version", "[playlist]", "<asx"};
constexpr const char* kMaxStreams = "64";
constexpr const char* kEncrypted = "encrypted; it cannot be decoded";

struct Options {
  Options() = default;
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;
  ~Options() { av_dict_free(&entries); }
  AVDictionary* entries = nullptr;
};

[[noreturn]] void refuse_file(SourceFault fault, const std::string& path, const std::string& why) {
  throw SourceError(fault, concat(escaped(path), ": ", why));
}

// The first bytes of a file that may be opened. Checked before FFmpeg sees the name: opening a pipe would wait for
// ever.
std::string head_of_regular_file(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) refuse_file(SourceFault::missing, path, "no such file");
  if (error) refuse_file(SourceFault::unreadable, path, error.message());
  if (fs::is_directory(status)) refuse_file(SourceFault::unreadable, path, "is a folder, not a video file");
  if (!fs::is_regular_file(status)) refuse_file(SourceFault::unreadable, path, "is not a regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse_file(SourceFault::unreadable, path, concat("cannot be opened (", std::strerror(errno), ")"));
  std::string head(32, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  if (file.bad()) refuse_file(SourceFault::unreadable, path, "cannot be read");
  head.resize(static_cast<size_t>(file.gcount()));
  if (head.empty()) refuse_file(SourceFault::empty, path, "empty file (0 bytes)");
  return head;
}

// These headers say all that decoding needs; finding it out by decoding would cost more than opening the file.
bool header_is_complete(const AVFormatContext& context, const AVStream* stream) {
  if (!av_match_name("mov", context.iformat->name) && !av_match_name("matroska", context.iformat->name)) return false;
  if (!stream) return true;
  const AVCodecParameters& parameters = *stream->codecpar;
  constexpr std::array kSelfContained = {AV_CODEC_ID_H264, AV_CODEC_ID_HEVC, AV_CODEC_ID_VP8, AV_CODEC_ID_VP9,
                                         AV_CODEC_ID_AV1};
  return parameters.width > 0 && parameters.height > 0 &&
         std::ranges::find(kSelfContained, parameters.codec_id) != kSelfContained.end();
}

const uint8_t* side_data(const AVStream& stream, AVPacketSideDataType type, size_t bytes) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
  const AVPacketSideData* found =
      av_packet_side_data_get(stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data, type);
  return found && found->size >= bytes ? found->data : nullptr;
#else
  size_t size = 0;
  const uint8_t* data = av_stream_get_side_data(&stream, type, &size);
  return data && size >= bytes ? data : nullptr;
#endif
}

}  // namespace

void check_pixels(const std::string& path, int width, int height, const SourceOptions& options) {
  if (int64_t{width} * height > options.max_pixels)
    refuse_file(SourceFault::too_large, path,
                concat(width, "x", height, " exceeds the limit of ", options.max_pixels,
                       " pixels a picture; scale it down with ffmpeg"));
}

// The file itself is the first thing that FFmpeg opens; whatever comes after it is something that the file refers to.
struct Demuxer::Guard {
  decltype(AVFormatContext::io_open) default_open;
  bool opened = false;

  static int open(AVFormatContext* context, AVIOContext** io, const char* url, int flags, AVDictionary** options) {
    auto& guard = *static_cast<Guard*>(context->opaque);
    if (std::exchange(guard.opened, true)) return AVERROR(EPERM);
    return guard.default_open(context, io, url, flags, options);
  }
};

Demuxer::Demuxer(const std::string& path, const SourceOptions& options, const Watch& watch)
    : path_(path), head_(head_of_regular_file(path)), watch_(watch) {
  prepare_library();
  open();
  stream_ = find_video();
  if (!header_is_complete(*context_, stream_)) {
    probe(options);
    stream_ = find_video();
  }
  check_stream(options);
  for (unsigned i = 0; i < context_->nb_streams; ++i) {
    AVStream* stream = context_->streams[i];
    stream->discard = stream == stream_ ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
  }
}

Demuxer::~Demuxer() = default;

void Demuxer::refuse(SourceFault fault, const std::string& why) const {
  watch_.check(path_);
  refuse_file(fault, path_, why);
}

void Demuxer::open() {
  AVFormatContext* context = avformat_alloc_context();
  if (!context) throw Error("video: out of memory; use fewer --workers", exit_code::kMemory);
  guard_ = std::make_unique<Guard>(Guard{context->io_open});
  context->opaque = guard_.get();
  context->io_open = Guard::open;
  context->interrupt_callback = {[](void* watch) { return static_cast<const Watch*>(watch)->ended() ? 1 : 0; },
                                 const_cast<Watch*>(&watch_)};
  Options settings;
  av_dict_set(&settings.entries, "protocol_whitelist", "file", 0);
  av_dict_set(&settings.entries, "format_whitelist", kContainers, 0);
  av_dict_set(&settings.entries, "max_streams", kMaxStreams, 0);
  const int code = avformat_open_input(&context, ("file:" + path_).c_str(), nullptr, &settings.entries);
  context_.reset(context);
  if (code >= 0) return;
  // Whatever a damaged header says ends like this when it is over the limit of prepare_library().
  if (code == AVERROR(ENOMEM))
    refuse(SourceFault::damaged, "damaged: its header asks for more memory than there is, or than a video may take");
  if (head_.size() >= 8 && head_.compare(4, 4, "ftyp") == 0)
    refuse(SourceFault::cut_off, "damaged or cut off: the index (moov) is missing; copy or download the file again");
  if (std::ranges::any_of(kPlaylists, [&](std::string_view start) { return head_.starts_with(start); }))
    refuse(SourceFault::not_a_video, "a playlist, which names videos and is none");
  refuse(SourceFault::not_a_video,
         concat("not a video that can be read here (starts with \"", escaped(head_, 16), "\")"));
}

void Demuxer::probe(const SourceOptions& options) {
  std::vector<AVDictionary*> settings(context_->nb_streams, nullptr);
  for (AVDictionary*& entries : settings) {
    av_dict_set_int(&entries, "max_pixels", options.max_pixels, 0);
    av_dict_set(&entries, "threads", "1", 0);
  }
  const int code = avformat_find_stream_info(context_.get(), settings.data());
  for (AVDictionary*& entries : settings) av_dict_free(&entries);
  if (code < 0) refuse(SourceFault::damaged, concat("damaged: what is in it cannot be told (", error_text(code), ")"));
}

AVStream* Demuxer::find_video() const {
  for (unsigned i = 0; i < context_->nb_streams; ++i) {
    AVStream* stream = context_->streams[i];
    const bool cover = stream->disposition & AV_DISPOSITION_ATTACHED_PIC;
    if (stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !cover) return stream;
  }
  return nullptr;
}

void Demuxer::check_stream(const SourceOptions& options) const {
  if (!stream_) refuse(SourceFault::no_pictures, concat("no video stream in this file", what_else_is_there()));
  if (side_data(*stream_, AV_PKT_DATA_ENCRYPTION_INIT_INFO, 0)) refuse(SourceFault::encrypted, kEncrypted);
  const AVCodecParameters& parameters = *stream_->codecpar;
  check_codec(path_, parameters);
  if (parameters.width <= 0 || parameters.height <= 0)
    refuse(SourceFault::damaged, "damaged: the size of the picture is unknown");
  check_pixels(path_, parameters.width, parameters.height, options);
}

// " (audio: aac, mp3; cover picture ignored)"; empty where there is neither.
std::string Demuxer::what_else_is_there() const {
  std::string sound, cover;
  for (const AVStream* stream : std::span(context_->streams, context_->nb_streams)) {
    if (stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO)
      sound += (sound.empty() ? "audio: " : ", ") + codec_name(*stream->codecpar);
    if (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) cover = "cover picture ignored";
  }
  if (sound.empty() && cover.empty()) return "";
  return concat(" (", sound, sound.empty() || cover.empty() ? "" : "; ", cover, ")");
}

bool Demuxer::read(AVPacket& packet) {
  for (;;) {
    av_packet_unref(&packet);
    if (av_read_frame(context_.get(), &packet) < 0) {
      watch_.check(path_);
      return false;
    }
    if (packet.stream_index != stream_->index) continue;
    if (av_packet_get_side_data(&packet, AV_PKT_DATA_ENCRYPTION_INFO, nullptr))
      refuse(SourceFault::encrypted, kEncrypted);
    return true;
  }
}

bool Demuxer::seek(int64_t timestamp) {
  return avformat_seek_file(context_.get(), stream_->index, INT64_MIN, timestamp, timestamp, 0) >= 0;
}

std::string Demuxer::container() const { return context_->iformat->name; }

Orientation Demuxer::orientation() const {
  int32_t matrix[9];
  const uint8_t* data = side_data(*stream_, AV_PKT_DATA_DISPLAYMATRIX, sizeof matrix);
  if (!data) return {};
  std::memcpy(matrix, data, sizeof matrix);
  // A stored pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift. Angles between two right ones go to the
  // nearer.
  const auto [a, b, c, d] = std::array<int64_t, 4>{matrix[0], matrix[1], matrix[3], matrix[4]};
  const int64_t straight = std::abs(a) + std::abs(d), turned = std::abs(b) + std::abs(c);
  if (straight == 0 && turned == 0) return {};
  if (turned > straight) return {true, c < 0, b < 0};
  return {false, a < 0, d < 0};
}

}  // namespace engine::av
