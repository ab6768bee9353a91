// io/video: which frame is which, sizes, orientation, colours.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "engine/random.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

// Random requests on fresh and used readers give the bytes of the sequential pass, in the order asked for.
void check_random_access(const std::string& path, const std::vector<Frame>& sequence) {
  const int64_t count = std::ssize(sequence);
  VideoReader used(path);
  const size_t bytes = used.size().bytes();
  for (uint32_t trial = 0; trial < 6; ++trial) {
    Random random(7, 0, trial);
    std::vector<int64_t> wanted;
    for (int i = 0; i < 5; ++i) wanted.push_back(static_cast<int64_t>(random.below(static_cast<uint64_t>(count))));
    wanted.push_back(wanted[0]);
    wanted.push_back(trial % 2 ? count - 1 : 0);
    VideoReader fresh(path);
    for (VideoReader* reader : {&used, &fresh}) {
      std::vector<uint8_t> out(wanted.size() * bytes);
      reader->read_frames(wanted, {}, out);
      for (size_t i = 0; i < wanted.size(); ++i) {
        const Frame& expected = sequence[static_cast<size_t>(wanted[i])];
        CHECK_MESSAGE(std::memcmp(out.data() + i * bytes, expected.rgb.data(), bytes) == 0, path, " frame ", wanted[i]);
      }
    }
  }
}

void check_exact(const std::string& path, int frames, const std::string& encoding) {
  CAPTURE(encoding);
  make_video(path, frames, encoding);
  VideoReader reader(path);
  CHECK(reader.frame_count() == frames);
  CHECK(reader.size() == kSmall);
  const std::vector<Frame> sequence = decode_all(reader);
  REQUIRE(std::ssize(sequence) == frames);
  for (int i = 0; i < frames; ++i) {
    const Frame& frame = sequence[static_cast<size_t>(i)];
    CHECK(frame.index == i);
    CHECK(number_shown(frame.rgb.data(), frame.size) == i);
    CHECK(frame.time == doctest::Approx(i / 25.0).epsilon(0.03));
  }
  check_random_access(path, sequence);
}

}  // namespace

TEST_CASE("every frame is the one asked for, in every container") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::string x265 =
      "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=none:keyint=12:bframes=3";
  check_exact(folder / "a.mp4", 60, kX264);
  check_exact(folder / "front.mp4", 60, std::string(kX264) + "-movflags +faststart");
  check_exact(folder / "fragments.mp4", 60, std::string(kX264) + "-movflags +frag_keyframe+empty_moov");
  check_exact(folder / "open_gop.mp4", 60,
              std::string(kX264) + "-flags -cgop -x264-params open-gop=1:keyint=12:bframes=3");
  check_exact(folder / "refresh.mp4", 60, std::string(kX264) + "-x264-params intra-refresh=1:keyint=15");
  check_exact(folder / "a.mkv", 60, kX264);
  check_exact(folder / "a.ts", 60, kX264);
  check_exact(folder / "a.flv", 60, kX264);
  check_exact(folder / "a.h264", 60, kX264);
  check_exact(folder / "hevc.mp4", 40, x265);
  check_exact(folder / "hevc.ts", 40, x265 + ":open-gop=1");
  check_exact(folder / "xvid.avi", 60, "-c:v mpeg4 -bf 2 -g 12 -q:v 3");
  check_exact(folder / "mpeg2.mpg", 60, "-c:v mpeg2video -bf 2 -g 12 -q:v 3");
  check_exact(folder / "a.webm", 40,
              "-c:v libvpx -deadline realtime -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 10 -g 12");
  check_exact(folder / "vp9.webm", 40, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 12");
  check_exact(folder / "a.gif", 20, "");
  check_exact(folder / "mjpeg.mov", 20, "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p");
}

TEST_CASE("times of a video of variable rate are those of its frames") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  for (const char* name : {"a.mp4", "a.mkv"}) {
    const std::string path = folder / name;
    make_video(path, 30, std::string("-vf setpts='round((N+floor(N/3))/25/TB)' -vsync passthrough ") + kX264);
    VideoReader reader(path);
    REQUIRE(reader.frame_count() == 30);
    for (int i = 0; i < 30; ++i) {
      const double time = (i + i / 3) / 25.0;
      CHECK(reader.times()[static_cast<size_t>(i)] == doctest::Approx(time).epsilon(0.001));
      CHECK(reader.index_at(time + 0.005) == i);
      CHECK(number_shown(reader.read_frame(i).rgb.data(), kSmall) == i);
    }
    CHECK(reader.index_at(-5) == 0);
    CHECK(reader.index_at(1e9) == 29);
    CHECK(reader.info().fps == doctest::Approx(29 / (38 / 25.0)).epsilon(0.001));
  }
}

TEST_CASE("what an edit list cuts away is no frame") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "whole.mp4", 60, kX264);
  ffmpeg("-ss 0.68 -i '" + (folder / "whole.mp4") + "' -c copy '" + (folder / "cut.mp4") + "'");
  VideoReader reader(folder / "cut.mp4");
  const std::vector<Frame> sequence = decode_all(reader);
  REQUIRE(std::ssize(sequence) == reader.frame_count());
  CHECK(reader.frame_count() == 60 - 17);
  for (size_t i = 0; i < sequence.size(); ++i)
    CHECK(number_shown(sequence[i].rgb.data(), kSmall) == static_cast<int>(i) + 17);
  check_random_access(folder / "cut.mp4", sequence);
}

TEST_CASE("frames come at the size asked for, also after the stream changes its own") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "a.h264", 20, kX264);
  make_video(folder / "b.h264", 20, kX264, {320, 192});
  write_file(folder / "both.h264", read_file(folder / "a.h264") + read_file(folder / "b.h264"));
  VideoReader reader(folder / "both.h264");
  CHECK(reader.frame_count() == 40);
  for (const FrameSize size : {FrameSize{}, FrameSize{64, 40}, FrameSize{33, 47}}) {
    const std::vector<Frame> sequence = decode_all(reader, size);
    REQUIRE(sequence.size() == 40);
    for (size_t i = 0; i < 40; ++i) {
      CHECK(sequence[i].size == (size == FrameSize{} ? kSmall : size));
      CHECK(number_shown(sequence[i].rgb.data(), sequence[i].size) == static_cast<int>(i % 20));
    }
  }
}

TEST_CASE("odd sizes keep every pixel in its place") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  for (const FrameSize size : {FrameSize{17, 13}, FrameSize{1, 1}, FrameSize{2, 35}, FrameSize{171, 3}}) {
    const std::string input = picture(0x5a, size);
    ffmpeg("-f rawvideo -pix_fmt rgb24 -s " + std::to_string(size.width) + "x" + std::to_string(size.height) +
               " -i - -c:v ffv1 -pix_fmt bgr0 '" + (folder / "a.mkv") + "'",
           input);
    VideoReader reader(folder / "a.mkv");
    const Frame frame = reader.read_frame(0);
    REQUIRE(frame.size == size);
    CHECK(std::memcmp(frame.rgb.data(), input.data(), input.size()) == 0);
  }
}

TEST_CASE("a display matrix turns and mirrors frames") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "a.mp4", 3, kX264);
  const std::string content = read_file(folder / "a.mp4");
  VideoReader plain(folder / "a.mp4");
  const Frame stored = plain.read_frame(1);
  const size_t matrix = content.find("tkhd") + 44;
  // a b c d of the matrix, and what it means: rotation clockwise, then mirrored.
  struct Case {
    int a, b, c, d, rotation;
    bool mirrored;
  };
  const Case cases[] = {{1, 0, 0, 1, 0, false},    {0, 1, -1, 0, 90, false}, {-1, 0, 0, -1, 180, false},
                        {0, -1, 1, 0, 270, false}, {-1, 0, 0, 1, 0, true},   {1, 0, 0, -1, 180, true},
                        {0, 1, 1, 0, 90, true},    {0, -1, -1, 0, 270, true}};
  for (const auto& [a, b, c, d, rotation, mirrored] : cases) {
    std::string edited = content;
    const auto put = [&](size_t entry, int value) {
      const char bytes[4] = {static_cast<char>(value < 0 ? 0xff : 0), static_cast<char>(value), 0, 0};
      edited.replace(matrix + entry * 4, 4, bytes, 4);
    };
    put(0, a), put(1, b), put(3, c), put(4, d);
    write_file(folder / "turned.mp4", edited);
    VideoReader reader(folder / "turned.mp4");
    CHECK(reader.info().rotation == rotation);
    CHECK(reader.info().mirrored == mirrored);
    const Frame frame = reader.read_frame(1);
    REQUIRE(frame.size == (a == 0 ? FrameSize{kSmall.height, kSmall.width} : kSmall));
    bool same = true;
    for (int y = 0; y < kSmall.height; ++y) {
      for (int x = 0; x < kSmall.width; ++x) {
        const int to_x = a * x + c * y + (a + c < 0 ? frame.size.width - 1 : 0);
        const int to_y = b * x + d * y + (b + d < 0 ? frame.size.height - 1 : 0);
        same = same && std::memcmp(&frame.rgb[static_cast<size_t>(to_y * frame.size.width + to_x) * 3],
                                   &stored.rgb[static_cast<size_t>(y * kSmall.width + x) * 3], 3) == 0;
      }
    }
    CHECK(same);
  }
}

TEST_CASE("colours follow the file's matrix and range") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  struct Case {
    std::string tags;
    double kr, kb;
    bool full;
  };
  const Case cases[] = {{"", 0.299, 0.114, false},
                        {"-colorspace smpte170m -color_range tv", 0.299, 0.114, false},
                        {"-colorspace bt709 -color_range tv", 0.2126, 0.0722, false},
                        {"-colorspace bt709 -color_range pc", 0.2126, 0.0722, true},
                        {"-colorspace bt470bg -color_range pc", 0.299, 0.114, true},
                        {"-colorspace bt2020nc -color_range tv", 0.2627, 0.0593, false}};
  // One frame for each of these Y'CbCr values (of 8 bits).
  const int patches[][3] = {{128, 128, 128}, {60, 90, 160},   {180, 110, 140},
                            {90, 150, 120},  {150, 128, 100}, {81, 110, 190}};
  for (const auto& [tags, kr, kb, full] : cases) {
    for (const std::string format : {"yuv420p", "yuv444p", "yuv420p10le"}) {
      CAPTURE(tags);
      CAPTURE(format);
      const bool deep = format.ends_with("10le");
      const size_t luma = 32 * 16, chroma = format == "yuv444p" ? luma : luma / 4;
      std::string input;
      for (const auto& [y, u, v] : patches)
        for (const auto& [value, count] : {std::pair(y, luma), std::pair(u, chroma), std::pair(v, chroma)})
          for (size_t i = 0; i < count; ++i) {
            input += static_cast<char>(deep ? value * 4 & 255 : value);
            if (deep) input += static_cast<char>(value * 4 >> 8);
          }
      ffmpeg("-f rawvideo -pix_fmt " + format + " -s 32x16 -i - -c:v ffv1 " + tags + " '" + (folder / "a.mkv") + "'",
             input);
      VideoReader reader(folder / "a.mkv");
      for (size_t patch = 0; patch < std::size(patches); ++patch) {
        // ITU-R BT.601, BT.709 and BT.2020. Ten-bit full range ends at 1023, which is not 4 x 255.
        const auto& [y, u, v] = patches[patch];
        const double top = deep ? 1023 / 4.0 : 255;
        const double luminance = full ? y / top : (y - 16) / 219.0;
        const double cb = (u - 128) / (full ? top : 224.0), cr = (v - 128) / (full ? top : 224.0);
        const double red = luminance + 2 * (1 - kr) * cr, blue = luminance + 2 * (1 - kb) * cb;
        const std::array<double, 3> expected = {red, (luminance - kr * red - kb * blue) / (1 - kr - kb), blue};
        for (const FrameSize size : {FrameSize{}, FrameSize{9, 7}}) {
          const Frame frame = reader.read_frame(static_cast<int64_t>(patch), size);
          const size_t centre =
              static_cast<size_t>(frame.size.height / 2 * frame.size.width + frame.size.width / 2) * 3;
          for (size_t channel = 0; channel < 3; ++channel)
            CHECK(std::abs(frame.rgb[centre + channel] - std::clamp(expected[channel] * 255, 0.0, 255.0)) <= 2.0);
        }
      }
    }
  }
}

TEST_CASE("a folder of images is a clip") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  for (const std::string ending : {"png", "jpg"}) {
    fs::create_directory(folder / ending);
    make_video(folder / ending + "/frame_%d." + ending, 12, "-start_number 1 -q:v 2");
    write_file(folder / ending + "/notes.txt", "not a frame");
    const auto source = open_frames(folder / ending);
    REQUIRE(source->frame_count() == 12);
    CHECK(source->size() == kSmall);
    const std::vector<int64_t> wanted = {11, 0, 3, 3, 9};
    for (const FrameSize size : {kSmall, FrameSize{80, 40}}) {
      std::vector<uint8_t> out(wanted.size() * size.bytes());
      source->read_frames(wanted, size, out);
      for (size_t i = 0; i < wanted.size(); ++i)
        CHECK(number_shown(out.data() + i * size.bytes(), size) == static_cast<int>(wanted[i]));
    }
  }
  write_file(folder / "png/frame_5.png", read_file(folder / "png/frame_5.png").substr(0, 60));
  const auto source = open_frames(folder / "png");
  std::vector<uint8_t> out(kSmall.bytes());
  const std::vector<int64_t> fifth = {4};
  const auto [code, message] = error_of([&] { source->read_frames(fifth, kSmall, out); });
  CHECK(code == exit_code::kData);
  CHECK(contains(message, "frame_5.png"));
  fs::create_directory(folder / "empty");
  CHECK(error_of([&] { open_frames(folder / "empty"); }).first == exit_code::kData);
}
