// io: videos, indexes and pictures that are refused, each with its sentence.
#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "io/crc32c.h"
#include "io/image_writer.h"
#include "io/index_file.h"
#include "io/packet_reader.h"
#include "io/scan.h"
#include "tests/refusals.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;
using engine::test::check_refusals;
using engine::test::Refusal;

namespace {

// Behind the name of a box of an MP4 file.
size_t behind(const std::string& bytes, const std::string& box) {
  const size_t at = bytes.find(box);
  REQUIRE(at != bytes.npos);
  return at + box.size();
}

void put_number(std::string& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> 8 * (3 - i));
}

std::string without_pictures(std::string bytes) {
  const size_t at = behind(bytes, "mdat");
  uint32_t size = 0;
  for (size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(bytes[at - 8 + i]);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size - 8, '\0');
  return bytes;
}

}  // namespace

TEST_CASE("videos that are damaged in odd ways are refused by what is wrong") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "a.mp4", 20, std::string(kX264) + "-bf 0 ");
  const std::string sound = read_file(folder / "a.mp4");
  const auto reading = [&](const std::string& name, const std::string& bytes) {
    return [&folder, name, bytes] {
      write_file(folder / name, bytes);
      VideoReader reader(folder / name);
      decode_all(reader);
    };
  };
  std::string greedy = sound, same_times = sound, sizeless = without_pictures(sound), endless = sound;
  put_number(greedy, behind(greedy, "stco") + 4, 0x0fffffff);  // places of chunks; ISO/IEC 14496-12, 8.7.5
  put_number(same_times, behind(same_times, "stts") + 12, 0);  // time from picture to picture; 8.6.1.2
  put_number(sizeless, sizeless.find("avc1", behind(sizeless, "stsd")) + 28, 0);  // 12.1.3
  constexpr uint32_t kMany = av::kMaxPackets + 1;
  put_number(endless, behind(endless, "stts") + 8, kMany);
  put_number(endless, behind(endless, "stsz") + 4, 1);  // the size of every picture; 8.7.3.2
  put_number(endless, behind(endless, "stsz") + 8, kMany);
  put_number(endless, behind(endless, "stsc") + 12, kMany);  // pictures in a chunk; 8.7.4
  endless.append(kMany, '\0');
  make_video(folder / "a.avi", 3, "-c:v ffv1 -level 3 -pix_fmt yuv420p");
  std::string unreadable = read_file(folder / "a.avi");
  const size_t format = behind(unreadable, "strf") + 4;  // of 40 bytes, behind which the codec's own are
  std::fill_n(unreadable.begin() + static_cast<std::ptrdiff_t>(format) + 40, 40, '\0');
  check_refusals({
      {reading("greedy.mp4", greedy),
       "greedy.mp4: damaged: its header asks for more memory than there is, or than a video may take",
       exit_code::kData},
      {reading("sizeless.mp4", sizeless), "sizeless.mp4: damaged: the size of the picture is unknown",
       exit_code::kData},
      {reading("endless.mp4", endless), "endless.mp4: more than 1000000 packets; cut the video into parts",
       exit_code::kData},
      {reading("unreadable.avi", unreadable), "unreadable.avi: the ffv1 decoder refuses it: ", exit_code::kData},
      {reading("blank.mp4", without_pictures(sound)), "blank.mp4: not one frame can be decoded", exit_code::kData},
      // Without times the order is that of decoding, so that the scan notices.
      {[&] {
         write_file(folder / "still.mp4", without_pictures(same_times));
         av::scan_file(folder / "still.mp4", {});
       },
       "still.mp4: not one frame can be decoded", exit_code::kData},
  });
}

TEST_CASE("videos that change, or cannot be read any more, are refused") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::string path = folder / "a.mp4";
  make_video(path, 20, kX264);
  const auto index = update_index(folder / "none", folder.path(), std::vector{path}).index;
  VideoReader reader(path, *index);
  fs::resize_file(path, fs::file_size(path) / 4);
  check_refusals({{[&] { decode_all(reader); }, "a.mp4: the file changed while it was read", exit_code::kData}});

  make_video(path, 20, kX264);
  const av::Track track = av::scan_file(path, {});
  REQUIRE(track.direct());
  Descriptor no_file;
  REQUIRE(no_file.open(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  av::DirectPackets packets(path, track, std::move(no_file));
  const auto packet = av::make_packet();
  check_refusals({{[&] { packets.read(*packet); }, "a.mp4: cannot be read (Is a directory)", exit_code::kNoInput}});
}

namespace {

// An index of a.mp4 and b.mp4, which are no videos, and its parts.
struct Index {
  Index() {
    for (const char* name : {"a.mp4", "b.mp4"}) write_file(folder / name, "<html>");
    bytes = update_index(folder / "none", folder.path(), std::vector{folder / "a.mp4", folder / "b.mp4"}).bytes;
  }
  IndexHeader& header() { return *reinterpret_cast<IndexHeader*>(bytes.data()); }
  IndexRecord& record(size_t number) {
    return reinterpret_cast<IndexRecord*>(bytes.data() + sizeof(IndexHeader))[number];
  }
  char* names() { return bytes.data() + sizeof(IndexHeader) + 2 * sizeof(IndexRecord); }
  char* entries() { return names() + header().names_bytes; }
  // The checksums of what comes before the entries.
  void sign() {
    const std::string_view all = bytes;
    const size_t end = sizeof(IndexHeader) + 2 * sizeof(IndexRecord) + header().names_bytes;
    header().directory_crc = crc32c(all.substr(sizeof(IndexHeader), end - sizeof(IndexHeader)));
    header().crc = crc32c(all.substr(0, sizeof(IndexHeader) - sizeof(uint32_t)));
  }

  TemporaryFolder folder;
  std::string bytes;
};

}  // namespace

TEST_CASE("indexes that are refused say which of their parts is wrong") {
  if (!have_ffmpeg()) return;
  const auto refused = [](const std::function<void(Index&)>& change, const std::string& why) {
    const auto fault = [change] {
      Index index;
      change(index);
      const auto opened = VideoIndex::from_bytes(index.bytes, "x.index", index.folder.path());
      for (int64_t i = 0; i < opened->size(); ++i) opened->describe(i);
    };
    return Refusal{fault, "index 'x.index': " + why + "; run engine_data index again", exit_code::kData};
  };
  const auto signed_change = [&](const std::function<void(Index&)>& change, const std::string& why) {
    return refused([change](Index& index) { change(index), index.sign(); }, why);
  };
  const size_t size = Index().bytes.size();
  const TemporaryFolder folder;
  write_file(folder / "empty", "");
  check_refusals({
      {[&] { VideoIndex::open(folder / "empty", folder.path()); },
       "empty': only 0 bytes; cut off; run engine_data index again", exit_code::kData},
      {[&] { VideoIndex::open(folder.path(), folder.path()); }, ": not a regular file; run engine_data index again",
       exit_code::kData},
      {[] { VideoIndex::from_bytes("ENGVIDX\n", "x.index", "."); },
       "index 'x.index': only 8 bytes; cut off; run engine_data index again", exit_code::kData},
      refused([](Index& index) { index.header().magic[0] = 'F'; }, "not an index of videos"),
      refused([](Index& index) { index.header().version = 7; }, "format 7, and this engine reads format 2"),
      refused([](Index& index) { ++index.header().names_bytes; }, "its header is damaged"),
      refused([](Index& index) { index.bytes += 'x'; },
              concat(size + 1, " bytes, not what its header says; cut off or damaged")),
      refused([](Index& index) { index.names()[0] = 'A'; }, "its directory is damaged"),
      refused([](Index& index) { index.entries()[9] ^= 1; }, "the entry of a.mp4 is damaged"),
      signed_change([](Index& index) { ++index.header().library[0]; }, "made with another version of FFmpeg"),
      signed_change([](Index& index) { index.record(1).flags = 9; }, "its directory makes no sense"),
      signed_change([](Index& index) { index.names()[11] = 'x'; }, "its directory makes no sense"),
      signed_change([](Index& index) { std::swap(index.names()[0], index.names()[5]); }, "its names are not in order"),
  });
}

TEST_CASE("an index that is told to stop has none of the videos") {
  const TemporaryFolder folder;
  for (const char* name : {"a.mp4", "b.mp4", "c.mp4"}) write_file(folder / name, "<html>");
  const std::vector<std::string> paths = {folder / "a.mp4", folder / "b.mp4", folder / "c.mp4"};
  const auto indexing = [&](const IndexOptions& options) {
    return [&, options] { update_index(folder / "none", folder.path(), paths, options); };
  };
  std::stop_source stop;
  stop.request_stop();
  if (!video_available()) return;
  check_refusals({
      {indexing({.source = {.stop = stop.get_token()}}), "indexing stopped on request", exit_code::kStopped},
      {indexing({.threads = 1, .progress = [](int64_t, int64_t) { return false; }}), "indexing stopped on request",
       exit_code::kStopped},
  });
}

TEST_CASE("pictures that cannot be written are refused") {
  if (!video_available()) return;
  const TemporaryFolder folder;
  const std::vector<uint8_t> rgb(FrameSize{4, 4}.bytes());
  check_refusals({
      {[&] {
         write_image(folder / "a.gif", rgb, {4, 4});
       },
       "a.gif: images are written as .png or .jpg", exit_code::kUsage},
      {[&] {
         write_image(folder / "none/a.png", rgb, {4, 4});
       },
       "none/a.png; choose a place that can be written to, with space", exit_code::kStorage},
  });
}
