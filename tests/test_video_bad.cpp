// io/video: files that are no videos, that may not be read, or that are damaged.
#include <sys/stat.h>

#include <algorithm>

#include "engine/random.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;
using namespace std::string_literals;

TEST_CASE("what is no video is refused in one line") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& name) { return error_of([&] { VideoReader reader(folder / name); }); };
  CHECK(refused("missing.mp4").first == exit_code::kNoInput);
  fs::create_directory(folder / "folder.mp4");
  CHECK(refused("folder.mp4") ==
        std::pair{exit_code::kNoInput, (folder / "folder.mp4") + ": is a folder, not a video file"});
  REQUIRE(mkfifo((folder / "pipe.mp4").c_str(), 0600) == 0);
  CHECK(refused("pipe.mp4").first == exit_code::kNoInput);
  write_file(folder / "secret", "secret");
  const std::pair<const char*, std::string> contents[] = {
      {"empty.mp4", ""},
      {"page.mp4", "<html><body>404 not found</body></html>"},
      {"list.mp4",
       "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://" + (folder / "secret") + "\n#EXT-X-ENDLIST\n"},
      {"concat.mp4", "ffconcat version 1.0\nfile '" + (folder / "secret") + "'\n"},
      {"dash.mp4", "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"></MPD>"},
      {"box.mp4", std::string("\0\0\0\x18"
                              "ftypisom\0\0\2\0isomiso2",
                              24)},
      {"zeros.mkv", std::string(5000, '\0')}};
  for (const auto& [name, content] : contents) {
    CAPTURE(name);
    write_file(folder / name, content);
    const auto [code, message] = refused(name);
    CHECK(code == exit_code::kData);
    CHECK(contains(message, name));
    CHECK(message.find('\n') == message.npos);
    CHECK_FALSE(contains(message, "secret"));
  }
  CHECK(contains(refused("page.mp4").second, "<html><body>404"));
  CHECK(contains(refused("empty.mp4").second, "empty file"));
  CHECK(contains(refused("box.mp4").second, "moov"));
}

TEST_CASE("videos that cannot be used say why") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& name, const SourceOptions& options = {}) {
    return error_of([&] { VideoReader reader(folder / name, options); });
  };
  ffmpeg("-f lavfi -i sine=duration=0.2 '" + (folder / "sound.m4a") + "'");
  CHECK(refused("sound.m4a").first == exit_code::kData);
  CHECK(contains(refused("sound.m4a").second, "no video stream"));
  make_video(folder / "locked.mp4", 10,
             std::string(kX264) +
                 "-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb "
                 "-encryption_kid a7e61c373e219033c21091fa607bf3b8");
  CHECK(refused("locked.mp4").first == exit_code::kData);
  CHECK(contains(refused("locked.mp4").second, "encrypted"));
  make_video(folder / "clip:01 100%.mp4", 30, kX264);
  CHECK(refused("clip:01 100%.mp4").first == -1);
  SourceOptions small;
  small.max_pixels = kSmall.width * kSmall.height - 1;
  CHECK(refused("clip:01 100%.mp4", small).first == exit_code::kData);
  CHECK(contains(refused("clip:01 100%.mp4", small).second, "160x96"));
  std::stop_source stop;
  stop.request_stop();
  SourceOptions stopped;
  stopped.stop = stop.get_token();
  CHECK(refused("clip:01 100%.mp4", stopped) == std::pair{exit_code::kStopped, "reading stopped on request"s});
  SourceOptions impatient;
  impatient.timeout_seconds = 0;
  CHECK(refused("clip:01 100%.mp4", impatient).first == exit_code::kData);
  CHECK(contains(refused("clip:01 100%.mp4", impatient).second,
                 "100%.mp4: no progress for 0 s; the file or its storage is too slow"));
  std::string content = read_file(folder / "clip:01 100%.mp4");
  write_file(folder / "no_index.mp4", content.substr(0, content.size() / 2));
  CHECK(contains(refused("no_index.mp4").second, "moov"));
}

TEST_CASE("a file that is cut off gives the frames that it has, and names the first that is missing") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "a.mp4", 60, std::string(kX264) + "-movflags +faststart");
  const std::string content = read_file(folder / "a.mp4");
  write_file(folder / "cut.mp4", content.substr(0, content.size() / 2));
  VideoReader reader(folder / "cut.mp4");
  const std::vector<Frame> sequence = decode_all(reader);
  REQUIRE(sequence.size() > 5);
  CHECK(sequence.size() < 60);
  for (size_t i = 0; i < 5; ++i) CHECK(number_shown(sequence[i].rgb.data(), kSmall) == static_cast<int>(i));
  for (int64_t index = 0; index < reader.frame_count(); ++index) {
    const auto found = std::ranges::find(sequence, index, &Frame::index);
    const auto [code, message] = error_of([&] {
      const Frame frame = reader.read_frame(index);
      if (found != sequence.end()) CHECK(frame.rgb == found->rgb);
    });
    CHECK(code == (found == sequence.end() ? exit_code::kData : -1));
    if (code != -1) CHECK(contains(message, "cut.mp4: frame " + std::to_string(index)));
  }
}

TEST_CASE("damaged bytes end in an error or in frames, the same ones every time") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  for (const char* name : {"a.mp4", "a.mkv", "a.ts"}) {
    make_video(folder / name, 40, kX264);
    const std::string content = read_file(folder / name);
    for (uint32_t trial = 0; trial < 8; ++trial) {
      Random random(3, 0, trial);
      std::string damaged = content;
      for (int i = 0; i < 20; ++i) damaged[random.below(damaged.size())] = static_cast<char>(random.bits());
      const std::string path = folder / (std::string("damaged_") + name);
      write_file(path, damaged);
      const auto outcome = [&] {
        std::vector<uint8_t> all;
        std::string what = error_of([&] {
                             VideoReader reader(path);
                             for (const Frame& frame : decode_all(reader))
                               all.insert(all.end(), frame.rgb.begin(), frame.rgb.end());
                             const Frame middle = reader.read_frame(reader.frame_count() / 2);
                             all.insert(all.end(), middle.rgb.begin(), middle.rgb.end());
                           }).second;
        return std::pair(what, all);
      };
      CHECK(outcome() == outcome());
    }
  }
}

TEST_CASE("requests outside the video are refused") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "a.mp4", 10, kX264);
  VideoReader reader(folder / "a.mp4");
  CHECK_THROWS_WITH(reader.read_frame(10), doctest::Contains("a.mp4: frame 10 asked for, but the video has 10"));
  CHECK_THROWS_AS(reader.read_frame(-1), Error);
  std::vector<uint8_t> room(kSmall.bytes());
  const std::vector<int64_t> two = {0, 1};
  CHECK_THROWS_AS(reader.read_frames(two, kSmall, room), Error);
  CHECK_THROWS_AS(reader.read_frames(std::span(two).first(1), {160, 0}, room), Error);
  reader.read_frames({}, kSmall, {});
}
