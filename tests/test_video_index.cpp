// io/video_index: what is in an index, and frames read through it.
#include "io/video_index.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "engine/random.h"
#include "io/atomic_file.h"
#include "io/crc32c.h"
#include "io/index_file.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

IndexUpdate index_of(const TemporaryFolder& folder, const std::vector<std::string>& paths,
                     const IndexOptions& options = {}) {
  return update_index(folder / "none", folder.path(), paths, options);
}

IndexedVideo described(const VideoIndex& index, const std::string& name) {
  for (int64_t i = 0; i < index.size(); ++i)
    if (IndexedVideo video = index.describe(i); video.name == name) return video;
  FAIL("not in the index: ", name);
  return {};
}

// Random clips, each through a reader of its own, have the bytes of the sequential pass of a reader without an index.
// Returns how many frames were compared.
int64_t check_clips(const std::string& path, const VideoIndex& index, uint32_t trials) {
  CAPTURE(path);
  VideoReader plain(path), indexed(path, index);
  const std::vector<Frame> sequence = decode_all(plain);
  CHECK(indexed.frame_count() == plain.frame_count());
  CHECK(indexed.times() == plain.times());
  CHECK(indexed.size() == plain.size());
  CHECK(indexed.info().fps == plain.info().fps);
  CHECK(indexed.info().rotation == plain.info().rotation);
  CHECK(indexed.info().mirrored == plain.info().mirrored);
  CHECK(indexed.info().stamped == plain.info().stamped);
  CHECK(indexed.info().codec == plain.info().codec);
  CHECK(indexed.info().container == plain.info().container);
  const std::vector<Frame> again = decode_all(indexed);
  CHECK(std::ranges::equal(sequence, again, {}, &Frame::rgb, &Frame::rgb));
  CHECK(std::ranges::equal(sequence, again, {}, &Frame::index, &Frame::index));
  const auto count = static_cast<uint64_t>(sequence.size());
  const size_t bytes = plain.size().bytes();
  int64_t compared = std::ssize(sequence);
  for (uint32_t trial = 0; trial < trials; ++trial) {
    Random random(11, 0, trial);
    std::vector<int64_t> wanted;
    const int64_t stride = static_cast<int64_t>(random.below(4)) + 1;  // 1: scattered
    for (int64_t at = static_cast<int64_t>(random.below(count)); wanted.size() < 6;
         at = stride == 1 ? static_cast<int64_t>(random.below(count)) : at + stride)
      wanted.push_back(std::min(at, static_cast<int64_t>(count) - 1));
    VideoReader fresh(path, index);
    for (VideoReader* reader : {&indexed, &fresh}) {
      std::vector<uint8_t> out(wanted.size() * bytes);
      reader->read_frames(wanted, {}, out);
      for (size_t i = 0; i < wanted.size(); ++i, ++compared)
        CHECK_MESSAGE(
            std::memcmp(out.data() + i * bytes, sequence[static_cast<size_t>(wanted[i])].rgb.data(), bytes) == 0,
            "frame ", wanted[i]);
    }
  }
  return compared;
}

// Two videos that can be used and one that cannot.
std::vector<std::string> make_three(const TemporaryFolder& folder) {
  make_video(folder / "a.mp4", 9, kX264, {32, 32});
  make_video(folder / "b.ts", 5, kX264, {32, 32});
  write_file(folder / "c.mp4", "<html>");
  return {folder / "a.mp4", folder / "b.ts", folder / "c.mp4"};
}

// Opens the index and everything in it.
void read_all(const std::string& bytes, const TemporaryFolder& folder) {
  const auto index = VideoIndex::from_bytes(bytes, "all.index", folder.path());
  for (int64_t i = 0; i < index->size(); ++i) index->describe(i);
}

void set_time(const std::string& path, int64_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

}  // namespace

TEST_CASE("through the index every frame is the one of the sequential pass") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::string x264 = kX264, open_gop = x264 + "-flags -cgop -x264-params open-gop=1:keyint=12:bframes=3 ",
                    varied = "-vf setpts='round((N+floor(N/3))/25/TB)' -vsync passthrough " + x264,
                    x265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=12:bframes=3";
  struct Case {
    std::string name, encoding;
    bool direct;
    bool skips = false;  // pictures that no other needs are known
    bool open_gop = false;
    FrameSize size = kSmall;
  };
  const std::vector<Case> cases = {
      {"b.mp4", x264, true, true},
      {"front.mp4", x264 + "-movflags +faststart", true, true},
      {"fragments.mp4", x264 + "-movflags +frag_keyframe+empty_moov", true, true},
      {"pyramid.mov", x264 + "-x264-params b-pyramid=strict:bframes=5:b-adapt=0", true, true},
      {"open.mp4", open_gop, true, true, true},
      {"varied.mp4", varied, true, true},
      {"b.mkv", x264, true, true},
      {"varied.mkv", varied, true, true},
      {"open.mkv", open_gop, true, true, true},
      {"no_b.mp4", "-c:v libx264 -pix_fmt yuv420p -g 9 -bf 0", true},
      {"refresh.mp4", x264 + "-x264-params intra-refresh=1:keyint=15", true, true},
      {"interlaced.mp4", x264 + "-flags +ilme+ildct", true, true},
      {"deep.mp4", "-c:v libx264 -preset veryfast -pix_fmt yuv420p10le -g 12 -bf 3", true, true},
      {"odd.mp4", "-c:v libx264 -preset veryfast -pix_fmt yuv444p -g 12 -bf 3", true, true, false, {161, 97}},
      {"b.flv", x264, true},
      {"b.avi", x264, true},
      {"b.ts", x264, false},
      {"open.ts", open_gop, false, false, true},
      {"b.h264", x264, true},
      {"b.mpg", "-c:v mpeg2video -bf 2 -g 12 -q:v 3", false},
      {"hevc.mp4", x265 + ":open-gop=0 -pix_fmt yuv420p", true, true},
      {"hevc_open.mkv", x265 + ":open-gop=1 -pix_fmt yuv420p10le", true, true, true},
      {"hevc_layers.mp4", x265 + ":temporal-layers=1:open-gop=1 -pix_fmt yuv420p", true, true, true},
      {"xvid.avi", "-c:v mpeg4 -bf 2 -g 12 -q:v 3", true},
      {"mpeg4.mp4", "-c:v mpeg4 -g 12 -q:v 3", true},
      {"vp8.webm", "-c:v libvpx -deadline realtime -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 10 -g 12", true},
      {"vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 10 -g 12", true},
      {"ffv1.mkv", "-c:v ffv1 -pix_fmt yuv422p10le", true, false, false, {37, 21}},
      {"mjpeg.mov", "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p", true},
  };
  std::vector<std::string> paths;
  for (const Case& each : cases) {
    make_video(folder / each.name, 32, each.encoding, each.size);
    paths.push_back(folder / each.name);
  }
  ffmpeg("-ss 0.68 -i '" + paths[0] + "' -c copy '" + (folder / "cut.mp4") + "'");
  ffmpeg("-i '" + paths[0] + "' -f lavfi -i sine=duration=1.28 -c:v copy -c:a aac -metadata:s:v:0 rotate=90 '" +
         (folder / "turned.mp4") + "'");
  for (const char* name : {"cut.mp4", "turned.mp4"}) paths.push_back(folder / name);
  const IndexUpdate update = index_of(folder, paths);
  CHECK(update.index->size() == std::ssize(paths));
  int64_t compared = 0;
  for (const std::string& path : paths) compared += check_clips(path, *update.index, 8);
  MESSAGE("frames compared: ", compared);
  for (const Case& each : cases) {
    CAPTURE(each.name);
    const IndexedVideo video = described(*update.index, each.name);
    CHECK(video.frames == 32);
    CHECK(video.direct == each.direct);
    CHECK((video.unreferenced > 0) == each.skips);
    CHECK(video.open_gop == each.open_gop);
    CHECK(video.info.variable_rate == contains(each.name, "varied"));
  }
  CHECK(described(*update.index, "turned.mp4").info.rotation != 0);
  CHECK(described(*update.index, "cut.mp4").frames == 15);
}

TEST_CASE("damaged videos give through the index what they give without") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  std::vector<std::string> paths;
  for (const char* name : {"a.mp4", "a.mkv", "a.ts"}) {
    make_video(folder / name, 24, kX264, {64, 48});
    const std::string content = read_file(folder / name);
    for (uint32_t trial = 0; trial < 5; ++trial) {
      Random random(5, 0, trial);
      std::string damaged = content;
      for (int i = 0; i < 6; ++i) damaged[200 + random.below(damaged.size() - 200)] = static_cast<char>(random.bits());
      if (trial == 4) damaged.resize(damaged.size() * 2 / 3);
      paths.push_back(folder / (std::to_string(trial) + name));
      write_file(paths.back(), damaged);
    }
  }
  const IndexUpdate update = index_of(folder, paths);
  for (const std::string& path : paths) {
    CAPTURE(path);
    const auto outcomes = [&](bool indexed) {
      std::vector<std::string> all;
      all.push_back(error_of([&] {
                      VideoReader reader = indexed ? VideoReader(path, *update.index) : VideoReader(path);
                      for (int64_t i = 0; i < reader.frame_count(); ++i) {
                        std::string rgb;
                        const std::string why = error_of([&] {
                                                  const Frame frame = reader.read_frame(i);
                                                  rgb.assign(frame.rgb.begin(), frame.rgb.end());
                                                }).second;
                        all.push_back(why + rgb);
                      }
                    }).second);
      return all;
    };
    CHECK((outcomes(true) == outcomes(false)));
  }
}

TEST_CASE("no malformed byte of an index is taken") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::string bytes = index_of(folder, make_three(folder)).bytes;
  read_all(bytes, folder);
  const auto refused = [&](const std::string& damaged) {
    const auto [code, message] = error_of([&] { read_all(damaged, folder); });
    return code == exit_code::kData && contains(message, "all.index");
  };
  for (size_t length = 0; length < bytes.size(); ++length) CHECK_MESSAGE(refused(bytes.substr(0, length)), length);
  CHECK(refused(bytes + '\0'));
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
    CHECK_MESSAGE(refused(damaged), at);
  }
  write_file(folder / "cut", bytes.substr(0, bytes.size() - 8));
  const auto [code, message] = error_of([&] { VideoIndex::open(folder / "cut", folder.path()); });
  CHECK(code == exit_code::kData);
  CHECK(contains(message, folder / "cut"));
  CHECK(error_of([&] { VideoIndex::open(folder / "missing", folder.path()); }).first == exit_code::kNoInput);
  CHECK(error_of([&] { VideoIndex::open(folder.path(), folder.path()); }).first == exit_code::kData);
  write_file(folder / "empty", "");
  CHECK(error_of([&] { VideoIndex::open(folder / "empty", folder.path()); }).first == exit_code::kData);
}

TEST_CASE("an index whose checksums are right and whose content is wrong does no harm") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::vector<std::string> paths = make_three(folder);
  const std::string bytes = index_of(folder, paths).bytes;
  const size_t head = sizeof(IndexHeader);
  for (uint32_t trial = 0; trial < 600; ++trial) {
    Random random(9, 0, trial);
    std::string damaged = bytes;
    const size_t at = random.below(bytes.size());
    damaged[at] = static_cast<char>(random.below(3) == 0 ? 0xff : random.bits());
    IndexHeader header;
    std::memcpy(&header, damaged.data(), head);
    const size_t table = 3 * sizeof(IndexRecord);
    std::vector<IndexRecord> records(3);
    std::memcpy(records.data(), damaged.data() + head, table);
    for (IndexRecord& record : records) {
      const std::string_view entries =
          std::string_view(damaged).substr(damaged.size() - header.entries_bytes % damaged.size());
      if (record.begin < entries.size()) record.crc = crc32c(entries.substr(record.begin, record.bytes));
    }
    std::memcpy(damaged.data() + head, records.data(), table);
    header.directory_crc = crc32c(std::string_view(damaged).substr(head, table + header.names_bytes % damaged.size()));
    header.crc = crc32c({reinterpret_cast<const char*>(&header), head - 4});
    std::memcpy(damaged.data(), &header, head);
    const int code = error_of([&] {
                       const auto index = VideoIndex::from_bytes(damaged, "all.index", folder.path());
                       for (const std::string& path : paths) {
                         error_of([&] {
                           VideoReader reader(path, *index);
                           if (reader.frame_count() < 100) reader.read_frame(reader.frame_count() / 2, {8, 8});
                         });
                       }
                       read_all(damaged, folder);
                     }).first;
    CHECK((code == -1 || code == exit_code::kData));
  }
}

TEST_CASE("entries are kept as long as their files stay what they were") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  std::vector<std::string> paths = make_three(folder);
  for (const std::string& path : paths) set_time(path, 1'700'000'000);
  const std::string file = folder / "all.index";
  const auto update = [&](bool thorough = false) {
    IndexOptions options;
    options.thorough = thorough;
    IndexUpdate result = update_index(file, folder.path(), paths, options);
    if (result.changed) write_file_atomically(file, result.bytes);  // the old one is still mapped
    return result;
  };
  CHECK(update().scanned == 3);
  CHECK_FALSE(update().changed);
  CHECK_FALSE(update(true).changed);
  const auto index = VideoIndex::open(file, folder.path());
  CHECK(index->size() == 3);
  CHECK(index->contains(folder / "sub/../a.mp4"));
  CHECK_FALSE(index->contains(folder / "d.mp4"));
  const auto through = [&](const std::string& path) { return error_of([&] { VideoReader reader(path, *index); }); };
  CHECK(through(paths[0]).first == -1);
  CHECK(through(paths[2]) == error_of([&] { VideoReader reader(paths[2]); }));

  // Written to since.
  set_time(paths[0], 1'700'000'001);
  set_time(paths[2], 1'700'000'001);
  CHECK(through(paths[0]) ==
        std::pair<int, std::string>(exit_code::kData,
                                    paths[0] + ": changed since it was indexed; run engine_data index again"));
  CHECK(contains(through(paths[2]).second, "changed since it was indexed"));
  CHECK(through(paths[1]).first == -1);
  CHECK(update().scanned == 2);
  CHECK(update().scanned == 0);

  // Replaced by another of the same size and time, which only a thorough look finds.
  std::string content = read_file(paths[1]);
  content[content.size() - 1] = static_cast<char>(content.back() ^ 1);
  write_file(paths[1], content);
  set_time(paths[1], 1'700'000'000);
  CHECK(update().scanned == 0);
  CHECK(update(true).scanned == 1);

  // What is not asked for stays, unless the look is thorough.
  const std::string gone = paths[1];
  paths.erase(paths.begin() + 1);
  CHECK_FALSE(update().changed);
  CHECK(update(true).index->size() == 2);
  fs::remove(paths[0]);
  CHECK(through(paths[0]).first == exit_code::kNoInput);
  CHECK(update().index->describe(0).error == "no such file");
  CHECK(error_of([&] { VideoReader reader(gone, *index); }).first == -1);

  // A damaged index is made anew.
  write_file_atomically(file, read_file(file).substr(0, 100));
  CHECK(update().index->size() == 2);
  CHECK(VideoIndex::open(file, folder.path())->size() == 2);
}

TEST_CASE("an index does not depend on threads, and can be stopped") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  std::vector<std::string> paths = make_three(folder);
  IndexOptions options;
  options.threads = 1;
  std::vector<int64_t> seen;
  options.progress = [&](int64_t done, int64_t total) {
    CHECK(total == 3);
    seen.push_back(done);
    return true;
  };
  const std::string one = index_of(folder, paths, options).bytes;
  CHECK(seen == std::vector<int64_t>{1, 2, 3});
  options.threads = 3;
  paths.push_back(paths[0]);
  CHECK((index_of(folder, paths, options).bytes == one));
  options.progress = [](int64_t, int64_t) { return false; };
  CHECK(error_of([&] { index_of(folder, paths, options); }).first == exit_code::kStopped);
  options.progress = {};
  std::stop_source stop;
  stop.request_stop();
  options.source.stop = stop.get_token();
  CHECK(error_of([&] { index_of(folder, paths, options); }).first == exit_code::kStopped);
}

TEST_CASE("limits hold through the index") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "a.mp4", 4, kX264);
  const std::vector<std::string> paths = {folder / "a.mp4"};
  const IndexUpdate update = index_of(folder, paths);
  SourceOptions small;
  small.max_pixels = kSmall.width * kSmall.height - 1;
  CHECK(error_of([&] { VideoReader reader(paths[0], *update.index, small); }) ==
        error_of([&] { VideoReader reader(paths[0], small); }));
  std::stop_source stop;
  SourceOptions stopped;
  stopped.stop = stop.get_token();
  VideoReader reader(paths[0], *update.index, stopped);
  stop.request_stop();
  CHECK(error_of([&] { reader.read_frame(2); }).first == exit_code::kStopped);
  CHECK(error_of([&] { VideoReader again(paths[0], *update.index, stopped); }).first == exit_code::kStopped);
}
