// io/video against a folder of real-world files with every oddity: `odd/` of the real data, whose README states what
// FFmpeg itself counts in each.
#include <algorithm>
#include <cstring>
#include <map>
#include <sstream>

#include "tests/places.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

constexpr FrameSize kThumbnail{32, 24};

std::string odd_folder() {
  const char* given = std::getenv("ENGINE_REAL_DATA");
  return (given ? std::string(given) : test::source_folder() + "/../shared/data") + "/odd";
}

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

// The number of frames of a sequential pass; 0 for a file that is refused.
int64_t decoded_count(const std::string& path) {
  int64_t count = 0;
  const auto [code, message] = error_of([&] {
    VideoReader reader(path);
    std::map<int64_t, std::vector<uint8_t>> sequence;
    for (Frame frame; reader.next(frame, kThumbnail); ++count) sequence.emplace(frame.index, frame.rgb);
    CHECK(reader.frame_count() >= count);
    check_random_access(reader, sequence);
  });
  if (code != -1) {
    CHECK(count == 0);
    CHECK(code == exit_code::kData);
    CHECK(message.starts_with(path));
    CHECK(message.find('\n') == message.npos);
  }
  return count;
}

}  // namespace

TEST_CASE("every odd file gives as many frames as FFmpeg counts, or is refused") {
  const std::string folder = odd_folder();
  if (!fs::exists(folder + "/README.md")) {
    MESSAGE("skipped: no ", folder, "; set ENGINE_REAL_DATA to the folder that holds odd/");
    return;
  }
  const std::map<std::string, int64_t> stated = stated_counts(folder);
  CHECK(stated.size() >= 125);
  for (const auto& [file, count] : stated) {
    CAPTURE(file);
    CHECK(decoded_count(folder + "/" + file) == count);
  }
}
