// What takes the place of the files that use FFmpeg in a build with ENGINE_VIDEO=OFF.
#include "io/decoder.h"
#include "io/image_writer.h"
#include "io/scan.h"
#include "io/text.h"
#include "io/video.h"
#include "io/video_writer.h"

namespace engine {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(
      concat(what,
             ": this build has no FFmpeg, only decoded clips (.frames) and images work; build with ENGINE_VIDEO=ON"),
      exit_code::kNoDevice);
}

}  // namespace

bool video_available() { return false; }

std::vector<std::string> decodable_codecs() { return {}; }

std::string ffmpeg_version() { return "none: built with ENGINE_VIDEO=OFF"; }

struct VideoReader::Impl {};
VideoReader::VideoReader(const std::string& path, const SourceOptions&) { refuse(escaped(path)); }
VideoReader::VideoReader(const std::string& path, const VideoIndex&, const SourceOptions&) { refuse(escaped(path)); }
VideoReader::~VideoReader() = default;
const VideoInfo& VideoReader::info() const { refuse("video"); }
int64_t VideoReader::frame_count() const { refuse("video"); }
const std::vector<double>& VideoReader::times() const { refuse("video"); }
int64_t VideoReader::index_at(double) const { refuse("video"); }
bool VideoReader::next(Frame&, FrameSize) { refuse("video"); }
std::vector<int64_t> VideoReader::refused() const { refuse("video"); }
void VideoReader::read_frames(std::span<const int64_t>, FrameSize, std::span<uint8_t>) { refuse("video"); }
void VideoReader::view_frames(std::span<const int64_t>, const FrameView&, std::span<uint8_t>) { refuse("video"); }

av::Track av::scan_file(const std::string& path, const SourceOptions&) { refuse(escaped(path)); }
std::array<uint32_t, 2> av::library_versions() { return {}; }
int64_t av::decoder_bytes(const TrackFacts&, std::string_view, bool) { return 0; }

void write_image(const std::string& path, std::span<const uint8_t>, FrameSize) { refuse(escaped(path)); }

struct VideoWriter::State {};
VideoWriter::VideoWriter(std::filesystem::path path, int, int, int, const VideoWriterOptions&) {
  refuse(escaped(path.string()));
}
VideoWriter::~VideoWriter() = default;
void VideoWriter::write(std::span<const uint8_t>) { refuse("video"); }
void VideoWriter::finish() { refuse("video"); }

}  // namespace engine
