#include <doctest/doctest.h>
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include "engine/random.h"
#include "io/video_writer.h"
#include "tests/temporary_folder.h"

namespace fs = std::filesystem;
using namespace engine;

namespace {

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<uint8_t> plain(int width, int height, std::array<uint8_t, 3> color) {
  std::vector<uint8_t> rgb;
  for (int i = 0; i < width * height; ++i) rgb.insert(rgb.end(), color.begin(), color.end());
  return rgb;
}

std::vector<uint8_t> noise(int width, int height, uint64_t stream) {
  Random random(5, stream);
  std::vector<uint8_t> rgb(static_cast<size_t>(width * height * 3));
  for (uint8_t& value : rgb) value = static_cast<uint8_t>(random.bits());
  return rgb;
}

struct Video {
  int width = 0, height = 0, frames = 0;
  AVRational rate{}, duration{};
  AVColorSpace matrix{};
  AVColorRange range{};
  int64_t first_time = -1;
  std::array<int, 3> middle{};  // Y, U, V in the middle of the first frame
};

void count_frames(AVCodecContext* decoder, AVFrame* frame, Video& video) {
  while (avcodec_receive_frame(decoder, frame) >= 0) {
    if (video.frames++ > 0) continue;
    video.first_time = frame->pts;
    const auto sample = [&](int plane, int shift) {
      return int{
          frame->data[plane][(frame->height >> shift) / 2 * frame->linesize[plane] + (frame->width >> shift) / 2]};
    };
    video.middle = {sample(0, 0), sample(1, 1), sample(2, 1)};
  }
}

// Straight through libav, to have an opinion of its own.
Video decoded(const fs::path& path) {
  Video video;
  AVFormatContext* format = nullptr;
  REQUIRE(avformat_open_input(&format, path.c_str(), nullptr, nullptr) >= 0);
  REQUIRE(avformat_find_stream_info(format, nullptr) >= 0);
  REQUIRE(format->nb_streams == 1);
  const AVStream* stream = format->streams[0];
  const AVCodecParameters* parameters = stream->codecpar;
  REQUIRE(parameters->codec_id == AV_CODEC_ID_H264);
  CHECK(parameters->format == AV_PIX_FMT_YUV420P);
  video.width = parameters->width;
  video.height = parameters->height;
  video.rate = stream->avg_frame_rate;
  video.duration = {static_cast<int>(stream->duration * stream->time_base.num), stream->time_base.den};
  video.matrix = parameters->color_space;
  video.range = parameters->color_range;
  AVCodecContext* decoder = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
  REQUIRE(avcodec_parameters_to_context(decoder, parameters) >= 0);
  REQUIRE(avcodec_open2(decoder, decoder->codec, nullptr) >= 0);
  AVPacket* packet = av_packet_alloc();
  AVFrame* frame = av_frame_alloc();
  while (av_read_frame(format, packet) >= 0) {
    REQUIRE(avcodec_send_packet(decoder, packet) >= 0);
    av_packet_unref(packet);
    count_frames(decoder, frame, video);
  }
  avcodec_send_packet(decoder, nullptr);
  count_frames(decoder, frame, video);
  av_frame_free(&frame);
  av_packet_free(&packet);
  avcodec_free_context(&decoder);
  avformat_close_input(&format);
  return video;
}

int error_code_of(const std::function<void()>& action, const std::string& why = "") {
  try {
    action();
  } catch (const Error& error) {
    CHECK_MESSAGE(std::string(error.what()).find(why) != std::string::npos, error.what());
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return error.code();
  }
  return exit_code::kOk;
}

void write_plain(const fs::path& path, int width, int height, std::array<uint8_t, 3> color, int frames) {
  VideoWriter writer(path, width, height, 12);
  for (int i = 0; i < frames; ++i) writer.write(plain(width, height, color));
  writer.finish();
}

}  // namespace

TEST_CASE("a written video has its frames, size, rate and length") {
  const TemporaryFolder folder;
  VideoWriter writer(folder / "a.mp4", 96, 64, 25);
  for (uint64_t i = 0; i < 31; ++i) writer.write(noise(96, 64, i));
  writer.finish();
  const Video video = decoded(folder / "a.mp4");
  CHECK(video.width == 96);
  CHECK(video.height == 64);
  CHECK(video.frames == 31);
  CHECK(video.first_time == 0);
  CHECK(av_q2d(video.rate) == doctest::Approx(25));
  CHECK(av_q2d(video.duration) == doctest::Approx(31.0 / 25));
  CHECK(video.range == AVCOL_RANGE_MPEG);
}

TEST_CASE("colours follow the matrix that the file is tagged with") {
  const TemporaryFolder folder;
  // Y, U, V of red in limited range: ITU-R BT.601-7 and BT.709-6, section 3.
  write_plain(folder / "small.mp4", 64, 64, {255, 0, 0}, 2);
  const Video small = decoded(folder / "small.mp4");
  CHECK(small.matrix == AVCOL_SPC_SMPTE170M);
  write_plain(folder / "large.mp4", 1280, 720, {255, 0, 0}, 2);
  const Video large = decoded(folder / "large.mp4");
  CHECK(large.matrix == AVCOL_SPC_BT709);
  const std::array expected_small{81, 90, 240}, expected_large{63, 102, 240};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(std::abs(small.middle[i] - expected_small[i]) <= 1);
    CHECK(std::abs(large.middle[i] - expected_large[i]) <= 1);
  }
}

TEST_CASE("the same frames give the same bytes") {
  const TemporaryFolder folder;
  for (const char* name : {"a.mp4", "b.mp4"}) {
    VideoWriter writer(folder / name, 64, 48, 12);
    for (uint64_t i = 0; i < 20; ++i) writer.write(noise(64, 48, i));
    writer.finish();
  }
  CHECK(bytes_of(folder / "a.mp4").size() > 1000);
  CHECK(bytes_of(folder / "a.mp4") == bytes_of(folder / "b.mp4"));
}

TEST_CASE("an unfinished video leaves nothing behind") {
  const TemporaryFolder folder;
  {
    VideoWriter writer(folder / "a.mp4", 64, 48, 12);
    writer.write(noise(64, 48, 0));
    CHECK_FALSE(fs::exists(folder / "a.mp4"));
    CHECK_FALSE(folder.names().empty());
  }
  CHECK(folder.names().empty());
  CHECK_THROWS_AS(VideoWriter(folder / "a.mp4", 64, 48, 12).finish(), Error);
  CHECK(folder.names().empty());
}

TEST_CASE("sizes, rates and options that make no sense are refused") {
  const TemporaryFolder folder;
  const auto code = [&](int width, int height, int fps, const VideoWriterOptions& options = {}) {
    return error_code_of([&] { VideoWriter(folder / "a.mp4", width, height, fps, options); },
                         concat("a.mp4: ", width, "x", height, " at ", fps, " frames a second, crf ", options.crf,
                                "; both sides must be even, 16 to 16384, the rate 1 to 1000, the crf 0 to 51"));
  };
  CHECK(code(63, 64, 12) == exit_code::kUsage);
  CHECK(code(64, 31, 12) == exit_code::kUsage);
  CHECK(code(0, 64, 12) == exit_code::kUsage);
  CHECK(code(64, -2, 12) == exit_code::kUsage);
  CHECK(code(64, 32768, 12) == exit_code::kUsage);
  CHECK(code(64, 64, 0) == exit_code::kUsage);
  CHECK(code(64, 64, 12, {.crf = 52}) == exit_code::kUsage);
  CHECK(folder.names().empty());
  VideoWriter writer(folder / "a.mp4", 64, 64, 12);
  CHECK_THROWS_AS(writer.write(noise(64, 62, 0)), Error);
}

TEST_CASE("a place that cannot be written to is a storage error") {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "text";
  CHECK(error_code_of([&] { VideoWriter(folder / "file/a.mp4", 64, 64, 12); },
                      "file/a.mp4: Not a directory; choose a place that can be written to, with space") ==
        exit_code::kStorage);
  CHECK(error_code_of([&] { VideoWriter(folder / "missing/a.mp4", 64, 64, 12); },
                      "missing/a.mp4: No such file or directory; choose a place that") == exit_code::kStorage);
  fs::create_directory(folder / "taken.mp4");
  CHECK(error_code_of([&] { write_plain(folder / "taken.mp4", 64, 64, {1, 2, 3}, 1); }) == exit_code::kStorage);
  CHECK_FALSE(fs::exists(folder / ".tmp-taken.mp4"));
}

TEST_CASE("storage that runs full is a storage error and leaves nothing") {
  const TemporaryFolder folder;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{16384, before.rlim_max};  // a file may not grow beyond 16 KB: write() fails as on a full disk
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const int code = error_code_of([&] {
    VideoWriter writer(folder / "a.mp4", 256, 256, 12, {.crf = 1});
    for (uint64_t i = 0; i < 10; ++i) writer.write(noise(256, 256, i));
    writer.finish();
  });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, previous);
  CHECK(code == exit_code::kStorage);
  CHECK(folder.names().empty());
}
