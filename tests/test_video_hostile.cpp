// io/video under attack: files that name other files, and videos with bytes changed at random. ENGINE_MUTATIONS changes
// how many of those there are.
#include <algorithm>
#include <set>

#include "engine/random.h"
#include "tests/places.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

constexpr FrameSize kTiny{16, 12};

// Reads a few frames as training would. The code of the error and its message; -1: none.
std::pair<int, std::string> use(const std::string& path, Random& random) {
  SourceOptions options;
  options.max_pixels = 1280 * 720;
  return error_of([&] {
    const auto source = open_frames(path, options);
    const auto count = static_cast<uint64_t>(source->frame_count());
    std::vector<int64_t> numbers;
    for (int i = 0; i < 3; ++i) numbers.push_back(static_cast<int64_t>(random.below(count)));
    std::vector<uint8_t> rgb(numbers.size() * kTiny.bytes());
    source->read_frames(numbers, kTiny, rgb);
  });
}

void put_number(std::string& bytes, size_t at, uint64_t value) {
  for (size_t i = 0; i < 4 && at + i < bytes.size(); ++i) bytes[at + i] = static_cast<char>(value >> 8 * (3 - i));
}

// One of seven kinds of damage. Headers and indexes stand at the two ends of a file, so half of it is done there.
std::string mutated(std::string bytes, Random& random) {
  const size_t size = bytes.size(), end = std::min<size_t>(size, 4096);
  const auto place = [&] {
    const uint64_t where = random.below(4);
    if (where == 0) return random.below(end);
    if (where == 1) return size - 1 - random.below(end);
    return random.below(size);
  };
  const size_t at = place(), length = std::min<size_t>(1 + random.below(600), size - at);
  switch (random.below(7)) {
    case 0:
      for (int i = 0; i < 12; ++i) bytes[place()] ^= static_cast<char>(1u << random.below(8));
      break;
    case 1:
      bytes.replace(at, length, length, '\0');
      break;
    case 2:
      bytes.resize(1 + at);
      break;
    case 3:
      bytes.erase(at, length);
      break;
    case 4:
      bytes.insert(at, bytes.substr(place(), length));
      break;
    case 5: {
      const uint64_t numbers[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, size, random.bits()};
      put_number(bytes, at, numbers[random.below(std::size(numbers))]);
      break;
    }
    default:
      for (size_t i = 0; i < length; ++i) bytes[at + i] = static_cast<char>(random.bits());
  }
  return bytes;
}

// Videos to start from, one of every container that is read, and small real ones where they are at hand.
std::vector<std::string> sound_videos(const TemporaryFolder& folder) {
  const std::pair<const char*, std::string> kinds[] = {
      {"a.mp4", kX264},
      {"front.mp4", std::string(kX264) + "-movflags +faststart"},
      {"fragments.mp4", std::string(kX264) + "-movflags +frag_keyframe+empty_moov"},
      {"a.mkv", kX264},
      {"a.ts", kX264},
      {"a.flv", kX264},
      {"a.avi", "-c:v mpeg4 -bf 2 -g 12"},
      {"a.mpg", "-c:v mpeg2video -bf 2 -g 12"},
      {"a.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 12"},
  };
  std::vector<std::string> contents;
  for (const auto& [name, encoding] : kinds) {
    make_video(folder / name, 30, encoding);
    contents.push_back(read_file(folder / name));
  }
  const fs::path real = fs::path(test::real_data()) / "odd";
  if (!fs::is_directory(real)) return contents;
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(real))
    if (entry.file_size() > 1000 && entry.file_size() < 60000 && entry.path().extension() != ".md")
      names.insert(entry.path());
  for (const std::string& name : names) contents.push_back(read_file(name));
  return contents;
}

}  // namespace

TEST_CASE("videos with bytes changed at random give frames or an error, and no crash") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::vector<std::string> sound = sound_videos(folder);
  const char* const wanted = std::getenv("ENGINE_MUTATIONS");
  const int count = wanted ? std::atoi(wanted) : 150;
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    Random random(17, static_cast<uint64_t>(i), 0);
    const size_t source = random.below(sound.size());
    const std::string path = folder / "mutated";
    write_file(path, mutated(sound[source], random));
    CAPTURE(i);
    CAPTURE(source);
    const auto [code, message] = use(path, random);
    CAPTURE(code);
    CAPTURE(message);
    CHECK((code == -1 || code == exit_code::kData));
    refused += code != -1;
  }
  MESSAGE(count, " mutations of ", sound.size(), " videos: ", refused, " refused, ", count - refused, " read");
  CHECK(refused > count / 20);
  CHECK(refused < count);
}

// Run by the case below, under strace.
TEST_CASE("opens every file of a folder" * doctest::skip()) {
  const char* const folder = std::getenv("ENGINE_HOSTILE_FOLDER");
  REQUIRE(folder);
  Random random(1);
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() != ".secret") use(entry.path(), random);
}

TEST_CASE("nothing but the file that was named is opened, whatever it says") {
  if (!have_ffmpeg()) return;
  if (std::system("strace -o /dev/null true 2>/dev/null") != 0) {
    MESSAGE("skipped: there is no strace that may trace");
    return;
  }
  const TemporaryFolder folder;
  make_video(folder / "clip.secret", 5, std::string(kX264) + "-f mp4");
  const std::string secret = folder / "clip.secret";
  const std::string mp4 = read_file(secret);
  const std::pair<const char*, std::string> contents[] = {
      {"hls.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://" + secret + "\n#EXT-X-ENDLIST\n"},
      {"hls.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nclip.secret\n#EXT-X-ENDLIST\n"},
      {"concat.mp4", "ffconcat version 1.0\nfile '" + secret + "'\n"},
      {"concat.ffconcat", "ffconcat version 1.0\nfile 'clip.secret'\n"},
      {"dash.mpd",
       "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"><Period><AdaptationSet "
       "mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>file://" +
           secret + "</BaseURL></Representation></AdaptationSet></Period></MPD>"},
      {"session.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"},
      {"playlist.asx", "<asx version=\"3.0\"><entry><ref href=\"file://" + secret + "\"/></entry></asx>"},
      {"list.mkv", "concat:" + secret + "|" + secret},
      {"subfile,,start,0,end,9,,clip.mp4", mp4},
      {"%d.mp4", mp4},
      {"concat:clip.mp4", mp4},
  };
  for (const auto& [name, content] : contents) write_file(folder / name, content);
  // A QuickTime file whose media lie elsewhere: its data reference is an alias with a path.
  std::string reference = mp4;
  const size_t url = reference.find("url ");
  REQUIRE(url != std::string::npos);
  reference.replace(url, 4, "alis");
  reference[url + 7] = 0;  // not in this file
  write_file(folder / "reference.mov", reference);

  const std::string trace = folder / "trace";
  // The search for leaks wants to trace, too.
  const std::string command = "ASAN_OPTIONS=\"$ASAN_OPTIONS:detect_leaks=0\" ENGINE_HOSTILE_FOLDER='" + folder.path() +
                              "' strace -f -e trace=%file,%network -o '" + trace + "' '" +
                              fs::read_symlink("/proc/self/exe").string() +
                              "' --no-skip -tc='opens every file of a folder' >/dev/null 2>&1";
  REQUIRE(std::system(command.c_str()) == 0);
  const std::string calls = read_file(trace);
  for (const auto& [name, content] : contents) CHECK_MESSAGE(contains(calls, name), name, " was not opened");
  CHECK(contains(calls, "reference.mov"));
  CHECK_MESSAGE(!contains(calls, "clip.secret"), "the file that others name was touched");
  CHECK(!contains(calls, "connect("));
  CHECK(!contains(calls, "sockaddr"));
}
