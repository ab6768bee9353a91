// io/video against real files: a folder of files with every oddity, `odd/` of the real data, whose README states what
// FFmpeg itself counts in each, and ordinary sets beside it.
#include <algorithm>
#include <cstring>
#include <map>
#include <sstream>

#include "io/video_index.h"
#include "tests/places.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

constexpr FrameSize kThumbnail{32, 24};

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// The column `count` of the README's table, by file.
std::map<std::string, int64_t> stated_counts(const std::string& folder) {
  std::map<std::string, int64_t> counts;
  std::istringstream readme(read_file(folder + "/README.md"));
  for (std::string line; std::getline(readme, line);) {
    std::vector<std::string> cells;
    std::istringstream row(line);
    for (std::string cell; std::getline(row, cell, '|');) cells.push_back(trimmed(cell));
    const bool is_row = cells.size() > 10 && !cells[4].empty() && std::ranges::all_of(cells[4], ::isdigit);
    if (is_row) counts[cells[1]] = std::stoll(cells[9]);
  }
  return counts;
}

// A few frames asked for by number are those of the sequential pass.
void check_random_access(VideoReader& reader, const std::map<int64_t, std::vector<uint8_t>>& sequence) {
  const int64_t last = reader.frame_count() - 1;
  for (const int64_t index : {last / 2, last / 5, last * 4 / 5}) {
    const auto expected = sequence.find(index);
    if (expected == sequence.end()) {
      CHECK_THROWS_AS(reader.read_frame(index, kThumbnail), Error);
    } else {
      CHECK(reader.read_frame(index, kThumbnail).rgb == expected->second);
    }
  }
}

int64_t compared = 0;  // frames read through an index

// Clips through the index are those of the sequential pass, and what fails without it fails in the same way.
void check_through_index(VideoReader& plain, const std::string& path, const VideoIndex& index,
                         const std::map<int64_t, std::vector<uint8_t>>& sequence) {
  VideoReader indexed(path, index);
  const int64_t count = plain.frame_count();
  REQUIRE(indexed.frame_count() == count);
  CHECK(indexed.times() == plain.times());
  CHECK(indexed.size() == plain.size());
  for (const int64_t first : {count / 7, count / 2, count - 3}) {
    std::vector<int64_t> wanted;
    for (int64_t i = 0; i < 4; ++i) wanted.push_back(std::clamp<int64_t>(first + 2 * i, 0, count - 1));
    std::vector<uint8_t> rgb(wanted.size() * kThumbnail.bytes());
    VideoReader fresh(path, index);
    const bool whole = std::ranges::all_of(wanted, [&](int64_t i) { return sequence.contains(i); });
    const auto [code, message] = error_of([&] { fresh.read_frames(wanted, kThumbnail, rgb); });
    if (!whole) {
      CHECK(message == error_of([&] { plain.read_frames(wanted, kThumbnail, rgb); }).second);
      continue;
    }
    CHECK_MESSAGE(code == -1, message);
    for (size_t i = 0; i < wanted.size(); ++i, ++compared) {
      const std::vector<uint8_t>& expected = sequence.at(wanted[i]);
      CHECK_MESSAGE(std::memcmp(rgb.data() + i * kThumbnail.bytes(), expected.data(), expected.size()) == 0, "frame ",
                    wanted[i]);
    }
  }
}

// The number of frames of a sequential pass; 0 for a file that is refused.
int64_t decoded_count(const std::string& path, const VideoIndex& index) {
  int64_t count = 0;
  const auto [code, message] = error_of([&] {
    VideoReader reader(path);
    std::map<int64_t, std::vector<uint8_t>> sequence;
    for (Frame frame; reader.next(frame, kThumbnail); ++count) sequence.emplace(frame.index, frame.rgb);
    CHECK(reader.frame_count() >= count);
    check_random_access(reader, sequence);
    check_through_index(reader, path, index, sequence);
  });
  if (code != -1) {
    CHECK(count == 0);
    CHECK(code == exit_code::kData);
    CHECK(message.starts_with(path));
    CHECK(message.find('\n') == message.npos);
    CHECK(message == error_of([&] {
                       VideoReader reader(path, index);
                       Frame frame;
                       reader.next(frame);
                     }).second);
  }
  return count;
}

}  // namespace

TEST_CASE("every odd file gives as many frames as FFmpeg counts, or is refused") {
  const std::string folder = test::real_data() + "/odd";
  if (!fs::exists(folder + "/README.md")) {
    MESSAGE("skipped: no ", folder, "; set ENGINE_REAL_DATA to the folder that holds odd/");
    return;
  }
  const std::map<std::string, int64_t> stated = stated_counts(folder);
  CHECK(stated.size() >= 125);
  std::vector<std::string> paths;
  for (const auto& [file, count] : stated) paths.push_back(folder + "/" + file);
  const IndexUpdate update = update_index("", folder, paths);
  CHECK(update.index->size() == std::ssize(stated));
  for (const auto& [file, count] : stated) {
    CAPTURE(file);
    CHECK(decoded_count(folder + "/" + file, *update.index) == count);
  }
  MESSAGE("frames compared through the index: ", compared);
}

TEST_CASE("ordinary videos are read through an index as without one") {
  std::vector<std::string> videos;
  for (const char* set : {"actions", "dark", "wagon"}) {
    std::vector<std::string> all;
    std::error_code missing;
    for (const auto& entry : fs::recursive_directory_iterator(test::real_data() + "/" + set, missing))
      if (entry.path().extension() == ".mp4") all.push_back(entry.path().string());
    std::ranges::sort(all);
    for (size_t i = 0; i < all.size(); i += 9) videos.push_back(all[i]);
  }
  if (videos.empty()) {
    MESSAGE("skipped: no videos in ", test::real_data(), "; set ENGINE_REAL_DATA");
    return;
  }
  const IndexUpdate update = update_index("", test::real_data(), videos);
  compared = 0;
  for (const std::string& path : videos) {
    CAPTURE(path);
    CHECK(decoded_count(path, *update.index) > 0);
  }
  for (int64_t i = 0; i < update.index->size(); ++i) CHECK(update.index->describe(i).direct);
  MESSAGE("frames compared through the index: ", compared, ", of ", videos.size(), " videos");
}
