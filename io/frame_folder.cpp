#include "io/frame_folder.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "io/av.h"
#include "io/dataset.h"
#include "io/image_reader.h"
#include "io/source_error.h"
#include "io/stages.h"
#include "io/text.h"

namespace engine {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMaxImageBytes = int64_t{64} << 20;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Numbers inside names compare by value, everything else by byte.
bool natural_less(const std::string& a, const std::string& b) {
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!is_digit(a[i]) || !is_digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    while (i < a.size() && a[i] == '0') ++i;
    while (j < b.size() && b[j] == '0') ++j;
    const size_t from_i = i, from_j = j;
    while (i < a.size() && is_digit(a[i])) ++i;
    while (j < b.size() && is_digit(b[j])) ++j;
    if (i - from_i != j - from_j) return i - from_i < j - from_j;
    const int order = a.compare(from_i, i - from_i, b, from_j, j - from_j);
    if (order != 0) return order < 0;
  }
  if (i == a.size() && j == b.size()) return a < b;
  return i == a.size();
}

std::string read_bytes(const std::string& path) {
  const StageTimer timer(Stage::read);
  std::error_code error;
  if (!fs::is_regular_file(path, error))
    throw Error(concat(escaped(path), ": missing or not a regular file"), exit_code::kNoInput);
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw Error(concat(escaped(path), ": cannot be opened"), exit_code::kNoInput);
  const auto bytes = static_cast<int64_t>(file.tellg());
  if (bytes > kMaxImageBytes)
    throw Error(concat(escaped(path), ": ", bytes, " bytes are too many for one image"), exit_code::kData);
  std::string content(static_cast<size_t>(bytes), '\0');
  file.seekg(0).read(content.data(), bytes);
  if (!file) throw Error(concat(escaped(path), ": cannot be read"), exit_code::kNoInput);
  return content;
}

}  // namespace

FrameFolder::FrameFolder(const std::string& path, const SourceOptions& options) : path_(path), options_(options) {
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error))
    if (is_image_name(entry->path().filename().string())) files_.push_back(entry->path().filename().string());
  if (error) throw Error(concat(escaped(path), ": ", error.message()), exit_code::kNoInput);
  if (files_.empty())
    throw SourceError(SourceFault::not_a_video, concat(escaped(path), ": no PNG or JPEG image in this folder"));
  std::ranges::sort(files_, natural_less);
  const std::string first = path_ + "/" + files_[0];
  size_ = ImageReader(options_).decode(read_bytes(first), first);
}

void FrameFolder::read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) {
  read(indices, size == FrameSize{} ? size_ : size, nullptr, rgb);
}

void FrameFolder::view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) {
  read(indices, view.size, &view, rgb);
}

void FrameFolder::read(std::span<const int64_t> indices, FrameSize size, const FrameView* view,
                       std::span<uint8_t> rgb) {
  check_room(path_, indices.size(), size, rgb);
  const av::Watch watch(options_.timeout_seconds, options_.stop);
  ImageReader reader(options_);
  std::vector<std::pair<int64_t, size_t>> requests;
  for (const int64_t index : indices) {
    ENGINE_CHECK(index >= 0 && index < frame_count(), escaped(path_), ": frame ", index, " asked for, but there are ",
                 frame_count());
    requests.emplace_back(index, requests.size());
  }
  std::ranges::sort(requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    watch.check(path_);
    const auto [index, place] = requests[i];
    uint8_t* target = rgb.data() + place * size.bytes();
    if (i > 0 && requests[i - 1].first == index) {
      std::memcpy(target, rgb.data() + requests[i - 1].second * size.bytes(), size.bytes());
      continue;
    }
    const std::string file = path_ + "/" + files_[static_cast<size_t>(index)];
    reader.decode(read_bytes(file), file);
    if (view)
      reader.write(*view, target);
    else
      reader.write(size, target);
  }
}

}  // namespace engine
