#include "train/data_inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

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

void decode(VideoReader& reader, bool deep, ClipFacts& facts) {
  constexpr FrameSize kThumbnail{16, 16};
  int64_t decoded = 0;
  for (Frame frame; reader.next(frame, kThumbnail);) {
    ++decoded;
    facts.damaged += frame.damaged;
    if (!deep) break;
  }
  facts.info = reader.info();
  if (deep) facts.lost = std::max<int64_t>(reader.frame_count() - decoded, 0);
}

void look_into(const Sample& sample, bool deep, ClipFacts& facts) {
  std::error_code error;
  const bool folder = fs::is_directory(sample.path, error);
  if (!folder) facts.bytes = static_cast<int64_t>(fs::file_size(sample.path, error));
  facts.is_video = !folder && !is_decoded_clip_name(sample.path);
  std::unique_ptr<FrameSource> source;
  if (facts.is_video) {
    auto reader = std::make_unique<VideoReader>(sample.path);
    facts.seconds = reader->times().back();
    facts.info = reader->info();
    facts.cut_off = missing_end(sample.path, facts.bytes, reader->info(), reader->frame_count());
    decode(*reader, deep, facts);
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
    const std::string prefix = escaped(sample.path) + ": ";  // who tells it says where, in its own way
    if (facts.error.starts_with(prefix)) facts.error.erase(0, prefix.size());
  }
  return facts;
}

}  // namespace engine
