// Internal to io/: the parts of an index file (io/video_index.h).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/descriptor.h"
#include "io/source_error.h"
#include "io/track.h"
#include "io/video_index.h"

namespace engine {

struct IndexHeader {
  char magic[8];
  uint32_t version;
  uint32_t library[2];     // of FFmpeg: what a scan finds depends on it
  uint32_t directory_crc;  // of the directory and the names
  uint64_t videos, names_bytes, entries_bytes;
  uint64_t zero;
  uint32_t zero_too;
  uint32_t crc;  // of what comes before
};
static_assert(sizeof(IndexHeader) == 64);

struct IndexRecord {
  static constexpr uint32_t kUnusable = 1;  // the entry is a SourceFault (u32) and a sentence without the path
  static constexpr uint32_t kAgain = 2;     // the reason may have gone by the next time

  uint64_t name_begin;
  uint32_t name_bytes;
  uint32_t crc;  // of the entry
  uint64_t begin, bytes;
  int64_t file_bytes, file_time;  // of the video; nanoseconds since 1970
  uint64_t ends;                  // CRC-32C of its first and of its last 64 KiB
  uint32_t flags;
  uint32_t zero;
};
static_assert(sizeof(IndexRecord) == 64);

// What an index knows of one file.
struct IndexedFile {
  std::string error;  // why it cannot be used, without its path
  SourceFault fault = {};
  int64_t file_bytes = 0, file_time = 0;
  av::Track track;  // where there is no error

  // Opens the video. Throws `error`, and kData when it is not the file that was indexed.
  Descriptor open(const std::string& path) const;
};

// None where the index does not know the file, or may not be relied on about it. Throws kData when the entry is
// damaged.
std::optional<IndexedFile> find_indexed(const VideoIndex& index, const std::string& path);

// When the file was last written to, in nanoseconds since 1970.
int64_t file_time_of(const struct stat& status);

struct VideoIndex::Impl {
  ~Impl();
  void check();  // everything but the entries; throws kData
  [[noreturn]] void refuse(const std::string& why) const;
  std::string name_of(const std::string& path) const;
  // The number of the video with this name; -1 when there is none.
  int64_t find(std::string_view name) const;
  std::string_view name(int64_t number) const;
  std::string_view entry(int64_t number) const;  // without a check
  bool sound(int64_t number) const;              // its checksum is right
  IndexedFile video(int64_t number, std::shared_ptr<const Impl> self) const;

  std::string file, folder;
  std::string memory;      // holds the bytes unless they are mapped
  std::string_view bytes;  // of the whole file
  bool mapped = false;
  std::span<const IndexRecord> directory;
  std::string_view names, entries;
  mutable std::vector<uint8_t> checked;  // entries found sound; written to with std::atomic_ref
};

// A video that an index is written of.
struct IndexEntry {
  std::string name;
  IndexRecord record;  // name, crc and place are filled in
  std::string_view bytes;
};
// `entries` sorted by name.
std::string index_bytes(std::vector<IndexEntry> entries);

}  // namespace engine
