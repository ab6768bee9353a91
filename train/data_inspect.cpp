#include "train/data_inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>

#include "engine/tensor.h"
#include "io/decoded_clip.h"
#include "io/text.h"
#include "io/trim.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

// The number that EBML (RFC 8794, 4) stores in as many bytes as the leading zeros of the first one tell, from `at` on,
// which moves behind it; -1 where all its bits are 1, which means "unknown".
int64_t ebml_size(const std::string& bytes, size_t& at) {
  if (at >= bytes.size()) return -1;
  const auto first = static_cast<uint8_t>(bytes[at]);
  int length = 1;
  while (length <= 8 && !(first & (0x100 >> length))) ++length;
  if (length > 8 || at + static_cast<size_t>(length) > bytes.size()) return -1;
  uint64_t value = first & ((0x100u >> length) - 1u);
  for (int i = 1; i < length; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + static_cast<size_t>(i)]);
  at += static_cast<size_t>(length);
  return value == (uint64_t{1} << (7 * length)) - 1 ? -1 : static_cast<int64_t>(value);
}

// The bytes that the file's own header says it has; 0 where it says nothing.
int64_t stated_bytes(const std::string& head) {
  if (head.starts_with("RIFF") && head.size() >= 8) {
    uint32_t size = 0;
    for (size_t i = 0; i < 4; ++i) size |= static_cast<uint32_t>(static_cast<uint8_t>(head[4 + i])) << (8 * i);
    return size == 0 || size == UINT32_MAX ? 0 : int64_t{size} + 8;
  }
  if (head.starts_with("\x1a\x45\xdf\xa3")) {  // Matroska: a header, then one segment with everything
    size_t at = 4;
    const int64_t header = ebml_size(head, at);
    if (header < 0 || static_cast<size_t>(header) > head.size() - at) return 0;
    at += static_cast<size_t>(header);
    if (head.compare(at, 4, "\x18\x53\x80\x67") != 0) return 0;
    at += 4;
    const int64_t segment = ebml_size(head, at);
    return segment < 0 ? 0 : segment + static_cast<int64_t>(at);
  }
  return 0;
}

// Whether the end of the file is missing, and how that shows.
std::string missing_end(const std::string& path, int64_t bytes, const VideoInfo& info, int64_t frames) {
  if (info.container.starts_with("mov") && info.stated_frames > info.packets)
    return fmt::format("only {} of {} frames are there", frames, info.stated_frames);
  if (info.container == "mpegts" && bytes % 188 != 0 && bytes % 192 != 0 && bytes % 204 != 0)
    return "the last packet is not whole";
  std::string head(256, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), std::ssize(head));
  head.resize(static_cast<size_t>(file.gcount()));
  const int64_t stated = stated_bytes(head);
  return stated > bytes ? fmt::format("only {} of {} bytes are there", bytes, stated) : "";
}

// "2.0 s, 3.1 to 4.0 s": when the frames with these numbers (sorted) are shown, what lies close together as one.
std::string when(const std::vector<int64_t>& frames, const std::vector<double>& times) {
  constexpr double kClose = 0.5;  // seconds
  constexpr size_t kMost = 4;
  std::vector<std::pair<double, double>> rows;
  for (const int64_t frame : frames) {
    const double time = times[static_cast<size_t>(frame)];
    if (rows.empty() || time - rows.back().second > kClose) rows.emplace_back(time, time);
    rows.back().second = time;
  }
  std::string text;
  for (const auto& [first, last] : std::span(rows).first(std::min(rows.size(), kMost))) {
    text += fmt::format("{}{:.1f}", text.empty() ? "" : ", ", first);
    text += last - first < 0.1 ? " s" : fmt::format(" to {:.1f} s", last);
  }
  return rows.size() > kMost ? text + fmt::format(", {} more", rows.size() - kMost) : text;
}

// Gives the numbers of the frames that are not what was encoded, sorted.
std::vector<int64_t> decode(VideoReader& reader, bool deep, ClipFacts& facts) {
  constexpr FrameSize kThumbnail{16, 16};
  std::vector<int64_t> bad;
  std::vector<bool> came(static_cast<size_t>(reader.frame_count()));
  int64_t decoded = 0;
  for (Frame frame; reader.next(frame, kThumbnail);) {
    const int64_t index = std::max<int64_t>(frame.index, 0);
    ++decoded;
    came[static_cast<size_t>(index)] = true;
    if (frame.damaged) bad.push_back(index);
    if (!deep) break;
  }
  facts.info = reader.info();
  facts.damaged = std::ssize(bad);
  if (deep) {
    std::ranges::copy(reader.refused(), std::back_inserter(bad));
    facts.refused = std::ssize(bad) - facts.damaged;
    facts.lost = std::max<int64_t>(reader.frame_count() - decoded, 0);
    for (size_t i = 0; i < came.size() && facts.lost > 0; ++i)
      if (!came[i]) bad.push_back(static_cast<int64_t>(i));
  }
  std::ranges::sort(bad);
  bad.erase(std::ranges::unique(bad).begin(), bad.end());
  return bad;
}

void look_into_video(VideoReader& reader, const std::string& path, bool deep, ClipFacts& facts) {
  const std::vector<double>& times = reader.times();
  facts.seconds = times.back();
  for (size_t i = 1; i < times.size(); ++i) {
    const double rate = 1 / std::max(times[i] - times[i - 1], 1e-6);
    facts.slowest = i == 1 ? rate : std::min(facts.slowest, rate);
    facts.fastest = std::max(facts.fastest, rate);
  }
  std::vector<int64_t> bad = decode(reader, deep, facts);
  const int64_t count = reader.frame_count();
  facts.cut_off = missing_end(path, facts.bytes, reader.info(), count - std::ssize(bad));
  if (!facts.cut_off.empty())
    for (int64_t last = count - 1; !bad.empty() && bad.back() == last; --last) bad.pop_back();
  facts.damaged_at = when(bad, times);
}

void look_into(const Sample& sample, bool deep, ClipFacts& facts) {
  std::error_code error;
  const bool folder = fs::is_directory(sample.path, error);
  facts.is_file = !folder;
  if (!folder) facts.bytes = static_cast<int64_t>(fs::file_size(sample.path, error));
  facts.is_video = !folder && !is_decoded_clip_name(sample.path);
  std::unique_ptr<FrameSource> source;
  if (facts.is_video) {
    auto reader = std::make_unique<VideoReader>(sample.path);
    look_into_video(*reader, sample.path, deep, facts);
    source = std::move(reader);
  } else {
    source = open_frames(sample.path);
    std::vector<int64_t> frames(1);
    std::vector<uint8_t> rgb(source->size().bytes());
    for (; frames[0] < (deep ? source->frame_count() : 1); ++frames[0]) source->read_frames(frames, {}, rgb);
  }
  facts.size = source->size();
  source = trimmed(std::move(source), sample);
  facts.frames = source->frame_count();
  if (sample.end > 0) facts.seconds = std::min(facts.seconds, sample.end) - sample.begin;
}

}  // namespace

ClipFacts inspect(const Sample& sample, bool deep) {
  ClipFacts facts;
  try {
    look_into(sample, deep, facts);
  } catch (const Error& error) {
    facts.error = error.what();
    facts.code = error.code();
    if (const auto* known = dynamic_cast<const SourceError*>(&error)) facts.fault = known->fault();
    const std::string prefix = escaped(sample.path) + ": ";  // who tells it says where, in its own way
    if (facts.error.starts_with(prefix)) facts.error.erase(0, prefix.size());
  }
  return facts;
}

}  // namespace engine
