// What people's folders hold beside sound videos: made on the spot, one table for all that is tested on them.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "engine/random.h"
#include "io/scan.h"
#include "tests/video_fixtures.h"

namespace engine::fixtures {

struct BadInput {
  int row;  // the kind of fault, 1 to 25
  std::string name;
  std::string error;    // what is said behind "PATH: " when it is opened or, of what opens, read through; or nothing
  int64_t frames = 0;   // that come, each with the number that it should have
  std::string kind;     // the problem that engine_data check --deep tells, with clips of four frames; or none
  int first = 0;        // the number that the first frame shows; -1: pictures show none
  int64_t listed = -1;  // frames that there should be; as many as come where this is -1
};

class BadInputs {
 public:
  static constexpr int kFrames = 60;  // of the sound video that most are made from

  BadInputs() {
    make_video(path("sound.mp4"), kFrames, kX264);
    make_video(path("front.mp4"), kFrames, std::string(kX264) + "-movflags +faststart");
    ffmpeg("-i '" + path("sound.mp4") + "' -c copy '" + path("sound.ts") + "'");
    no_files();
    cut_and_damaged();
    no_pictures();
    odd_times();
    odd_pictures();
    no_business_here();
  }

  std::string path(const std::string& name) const { return folder_ / name; }
  const std::vector<BadInput>& rows() const { return rows_; }
  const BadInput& named(const std::string& name) const { return *std::ranges::find(rows_, name, &BadInput::name); }
  const TemporaryFolder& folder() const { return folder_; }
  bool has_packed() const { return has_packed_; }

 private:
  void add(BadInput row) { rows_.push_back(std::move(row)); }
  void copy(const std::string& from, const std::string& arguments, const std::string& to) const {
    ffmpeg("-i '" + path(from) + "' " + arguments + " '" + path(to) + "'");
  }
  void encode(const std::string& name, int frames, const std::string& more, FrameSize size = kSmall) const {
    make_video(path(name), frames, std::string(kX264) + more, size);
  }
  // Changes the bytes of packets [first, last] of sound.mp4, in the order of decoding, by change(bytes of one).
  void change_packets(const std::string& name, int64_t first, int64_t last,
                      const std::function<void(std::span<char>)>& change) const {
    std::string content = read_file(path("sound.mp4"));
    const av::Track track = av::scan_file(path("sound.mp4"), {});
    for (int64_t i = first; i <= last; ++i)
      change(std::span(content).subspan(static_cast<size_t>(track.packet(i).position()), track.packet(i).bytes));
    write_file(path(name), content);
  }
  void no_files();
  void cut_and_damaged();
  void no_pictures();
  void odd_times();
  void odd_pictures();
  void turned(const std::string& name, std::array<double, 4> matrix);
  void no_business_here();

  TemporaryFolder folder_;
  std::vector<BadInput> rows_;
  bool has_packed_ = false;
};

inline void BadInputs::no_files() {
  add({1, "gone.mp4", "no such file", 0, "missing"});
  fs::create_directory(path("folder.mp4"));
  add({1, "folder.mp4", "no PNG or JPEG image in this folder", 0, "no video"});
  write_file(path("empty.mp4"), "");
  add({2, "empty.mp4", "empty file (0 bytes)", 0, "empty"});
  const std::string start = "not a video that can be read here (starts with \"";
  write_file(path("page.mp4"), "<html><body>404 not found</body></html>");
  add({3, "page.mp4", start + "<html><body>404 ...\")", 0, "no video"});
  write_file(path("text.mp4"), "This is no video.\n");
  add({3, "text.mp4", start + "This is no video...\")", 0, "no video"});
  ffmpeg("-f lavfi -i color=s=64x48 -frames:v 1 -c:v png -f image2 '" + path("image.mp4") + "'");
  add({3, "image.mp4", start + "\\x89PNG\\u000d\\u000a\\u001a\\u000a\\u0000\\u0000\\u0000\\u000dIHDR...\")", 0,
       "no video"});
}

inline void BadInputs::cut_and_damaged() {
  const std::string sound = read_file(path("sound.mp4")), front = read_file(path("front.mp4"));
  write_file(path("no_index.mp4"), sound.substr(0, sound.size() / 2));
  add({4, "no_index.mp4", "damaged or cut off: the index (moov) is missing; copy or download the file again", 0,
       "cut off"});
  const av::PacketRecord broken = av::scan_file(path("front.mp4"), {}).packet(36);
  write_file(path("cut.mp4"), front.substr(0, static_cast<size_t>(broken.position()) + broken.bytes / 2));
  add({5, "cut.mp4", "", 36, "cut off", 0, 37});
  change_packets("hole.mp4", 30, 30, [](std::span<char> bytes) { std::ranges::fill(bytes, '\0'); });
  add({6, "hole.mp4", "", 59, "damaged", 0, kFrames});
  change_packets("no_first_key.mp4", 0, 0, [](std::span<char> bytes) { std::ranges::fill(bytes, '\0'); });
  add({7, "no_first_key.mp4", "", 48, "late start, damaged", 12});
  Random random(8);
  change_packets("flips.mp4", 1, kFrames - 1, [&](std::span<char> bytes) {
    constexpr size_t kHeaders = 12;
    if (bytes.size() > 3 * kHeaders && random.below(3) == 0)
      bytes[kHeaders + random.below(bytes.size() - kHeaders)] ^= static_cast<char>(1 << random.below(8));
  });
  add({8, "flips.mp4", "", kFrames, "damaged"});
}

inline void BadInputs::no_pictures() {
  ffmpeg("-f lavfi -i sine=duration=0.2 -c:a aac '" + path("tone.m4a") + "'");
  add({9, "tone.m4a", "no video stream in this file (audio: aac)", 0, "audio only"});
  ffmpeg("-f lavfi -i sine=duration=0.2 -i '" + path("image.mp4") +
         "' -map 0 -map 1 -c:v copy -disposition:v attached_pic '" + path("song.mp3") + "'");
  add({10, "song.mp3", "no video stream in this file (audio: mp3; cover picture ignored)", 0, "audio only"});
}

inline void BadInputs::odd_times() {
  for (const int frames : {1, 5}) {
    const std::string name = std::to_string(frames) + "_frames.mp4";
    encode(name, frames, "");
    add({11, name, "", frames, frames < 4 ? "short" : ""});
  }
  encode("varied.mp4", 30, "-vf setpts='round((N+floor(N/3))/25/TB)' -vsync passthrough");
  add({12, "varied.mp4", "", 30, ""});
  ffmpeg("-ss 0.68 -i '" + path("sound.mp4") + "' -c copy '" + path("trimmed.mp4") + "'");
  add({20, "trimmed.mp4", "", kFrames - 17, "", 17});
  copy("sound.mp4", "-c copy -output_ts_offset 1000", "late.mkv");
  add({21, "late.mkv", "", kFrames, ""});
  // The clock of a transport stream starts over after 2^33 ticks of 1/90000 s.
  copy("sound.mp4", "-c copy -output_ts_offset 95442.5", "wraps.ts");
  add({21, "wraps.ts", "", kFrames, ""});
  copy("sound.mp4", "-c copy", "bare.h264");
  add({22, "bare.h264", "", kFrames, ""});
  has_packed_ = std::system("ffmpeg -v quiet -h encoder=libxvid 2>/dev/null | grep -q Encoder") == 0;
  if (has_packed_) {
    make_video(path("packed.avi"), 30, "-c:v libxvid -bf 2 -g 12 -q:v 3");
    add({22, "packed.avi", "", 28, "", -1});  // two of its 30 packets hold no picture
  }
  encode("long_gop.ts", kFrames, "-g 30");
  const std::string stream = read_file(path("long_gop.ts"));
  write_file(path("late_key.ts"), stream.substr(stream.size() / 8 / 188 * 188));
  add({23, "late_key.ts", "", 30, "late start", 30});
}

// A video whose header says how it is turned: a stored pixel (x, y) is shown at (a x + c y, b x + d y).
inline void BadInputs::turned(const std::string& name, std::array<double, 4> matrix) {
  std::string content = read_file(path("short.mp4"));
  const size_t at = content.find("tkhd");
  REQUIRE(at != content.npos);
  constexpr std::array<size_t, 4> kPlaces = {44, 48, 56, 60};  // of a, b, c, d from there; ISO/IEC 14496-12, 8.3.2
  for (size_t i = 0; i < 4; ++i) {
    const auto value = static_cast<uint32_t>(std::lround(matrix[i] * 65536));
    for (size_t k = 0; k < 4; ++k) content[at + kPlaces[i] + k] = static_cast<char>(value >> (24 - 8 * k));
  }
  write_file(path(name), content);
  add({13, name, "", 6, "", -1});
}

inline void BadInputs::odd_pictures() {
  encode("short.mp4", 6, "");
  turned("turned_90.mp4", {0, 1, -1, 0});
  turned("turned_180.mp4", {-1, 0, 0, -1});
  turned("turned_270.mp4", {0, -1, 1, 0});
  turned("mirrored.mp4", {-1, 0, 0, 1});
  turned("turned_30.mp4", {0.866, 0.5, -0.5, 0.866});
  const auto pictures = [&](int row, const std::string& name, const std::string& encoding, FrameSize size = kSmall,
                            const std::string& kind = "") {
    make_video(path(name), 8, encoding, size);
    add({row, name, "", 8, kind});
  };
  const std::string x264 = "-c:v libx264 -preset veryfast -g 12 ", yuv = x264 + "-pix_fmt yuv420p ";
  pictures(14, "odd.mp4", x264 + "-pix_fmt yuv444p", {321, 241});
  pictures(14, "narrow.mp4", yuv, {170, 98});
  pictures(15, "bt601.mp4", yuv + "-colorspace smpte170m -color_range tv");
  pictures(15, "bt709.mp4", yuv + "-colorspace bt709 -color_range tv");
  pictures(15, "full.mp4", x264 + "-pix_fmt yuvj420p -colorspace bt709");
  pictures(15, "untagged.mp4", yuv);
  pictures(16, "deep.mp4", x264 + "-pix_fmt yuv420p10le");
  pictures(16, "422.mp4", x264 + "-pix_fmt yuv422p");
  pictures(16, "444.mp4", x264 + "-pix_fmt yuv444p");
  pictures(16, "grey.mp4", x264 + "-pix_fmt gray");
  pictures(16, "alpha.webm", "-c:v libvpx -deadline realtime -cpu-used 8 -auto-alt-ref 0 -pix_fmt yuva420p");
  pictures(16, "alpha.mov", "-c:v png -pix_fmt rgba");
  pictures(16, "palette.gif", "");
  pictures(16, "palette.mkv", "-c:v png -pix_fmt pal8");
  pictures(17, "interlaced.mp4", yuv + "-flags +ilme+ildct");
  make_video(path("larger.ts"), 8, yuv, {240, 144});
  write_file(path("changes.ts"), read_file(path("sound.ts")) + read_file(path("larger.ts")));
  add({18, "changes.ts", "", kFrames + 8, "", -1});
  pictures(19, "wide.mp4", "-vf setsar=4/3 " + yuv);
}

inline void BadInputs::no_business_here() {
  std::string content = read_file(path("short.mp4"));
  const size_t entry = content.find("avc1", content.find("stsd"));
  REQUIRE(entry != content.npos);
  const auto lie = [&](int width, int height) {  // ISO/IEC 14496-12, 12.1.3
    std::string changed = content;
    const char sides[] = {static_cast<char>(width >> 8), static_cast<char>(width), static_cast<char>(height >> 8),
                          static_cast<char>(height)};
    return changed.replace(entry + 28, sizeof sides, sides, sizeof sides);
  };
  write_file(path("huge.mp4"), lie(16000, 12000));
  add({24, "huge.mp4", "16000x12000 exceeds the limit of 9437184 pixels a picture; scale it down with ffmpeg", 0,
       "too large"});
  write_file(path("small_header.mp4"), lie(16, 16));
  encode("locked.mp4", 10,
         "-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb "
         "-encryption_kid a7e61c373e219033c21091fa607bf3b8");
  add({25, "locked.mp4", "encrypted; it cannot be decoded", 0, "encrypted"});
  REQUIRE(mkfifo(path("pipe.mp4").c_str(), 0600) == 0);
  add({25, "pipe.mp4", "is not a regular file", 0, "unreadable"});
  const std::string list = "a playlist, which names videos and is none";
  write_file(path("hls.mp4"), "#EXTM3U\n#EXTINF:10,\nsound.mp4\n#EXT-X-ENDLIST\n");
  add({25, "hls.mp4", list, 0, "no video"});
  write_file(path("concat.mp4"), "ffconcat version 1.0\nfile sound.mp4\n");
  add({25, "concat.mp4", list, 0, "no video"});
  write_file(path("clip:01 100%d.mp4"), content);
  add({25, "clip:01 100%d.mp4", "", 6, ""});
  write_file(path("concat:sound.mp4"), content + std::string("\0\0\0\10free", 8));
  add({25, "concat:sound.mp4", "", 6, ""});
  make_video(path("rare.avi"), 5, "-c:v asv1");
  add({25, "rare.avi", "no decoder here for its codec asv1; convert it to H.264 with ffmpeg", 0, "unsupported"});
  content.replace(entry, 4, "zzzz");
  write_file(path("unknown.mp4"), content);
  add({25, "unknown.mp4", "no decoder here for its codec 'zzzz'; convert it to H.264 with ffmpeg", 0, "unsupported"});
}

}  // namespace engine::fixtures
