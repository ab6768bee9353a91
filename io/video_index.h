// What one scan of each video tells, kept in a file, so that training neither probes nor scans nor demuxes: opening a
// clip is opening its file.
//
// The file, little-endian, all of it covered by checksums (CRC-32C): a header of 64 bytes, which starts with
// "ENGVIDX\n" and the version of the format; a directory of 64 bytes a video, sorted by name; the names; an entry per
// video with its codec parameters and 16 bytes a packet, plus 8 a frame where frames are not evenly spaced, and 16 a
// packet where they must be demuxed. It is mapped into memory: the directory is checked when it is opened, an entry
// when it is first used.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/frame_source.h"
#include "io/video.h"

namespace engine {

// A video of an index, for people.
struct IndexedVideo {
  std::string name;    // relative to the folder of the index, or absolute
  int64_t bytes = 0;   // of the file
  std::string error;   // why it cannot be used; empty, and what follows filled in, where it can
  VideoInfo info;      // what the scan tells of it: no colours, and interlacing not
  double seconds = 0;  // from the first frame to the last
  int64_t frames = 0, unreferenced = 0;
  bool direct = false;    // packets are read from their places in the file, without a demuxer
  bool open_gop = false;  // pictures behind a key picture in the file are shown before it, by their time stamps
  // First and last frame of each row of packets that the container calls damaged.
  std::vector<std::pair<int64_t, int64_t>> damaged;
};

class VideoIndex {
 public:
  // Maps `file`; `folder` is what its names are relative to. Throws kNoInput when it cannot be read, and kData, naming
  // it and what is wrong, when it is damaged or was made by another version of the engine or of FFmpeg.
  static std::shared_ptr<const VideoIndex> open(const std::string& file, const std::string& folder);
  // The same of bytes in memory; `file` is for messages.
  static std::shared_ptr<const VideoIndex> from_bytes(std::string bytes, const std::string& file,
                                                      const std::string& folder);
  ~VideoIndex();

  int64_t size() const;
  bool contains(const std::string& path) const { return find(path) >= 0; }
  int64_t find(const std::string& path) const;  // the number of this video, or -1
  // The video with this number, in the order of names. Throws kData when its entry is damaged.
  IndexedVideo describe(int64_t number) const;

  struct Impl;
  const Impl& impl() const { return *impl_; }  // io/index_file.h
  const std::shared_ptr<const Impl>& shared_impl() const { return impl_; }

 private:
  explicit VideoIndex(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

struct IndexOptions {
  int threads = 0;  // 0: one per core
  // Entries whose file has the size and time of change that it had are kept. With this, only if its first and last
  // 64 KiB and the entry are also what they were, and videos that are not asked for are dropped.
  bool thorough = false;
  SourceOptions source = {};
  // Called from any thread after each video that was scanned, one call at a time; false stops.
  std::function<bool(int64_t done, int64_t total)> progress = {};
};

struct IndexUpdate {
  std::shared_ptr<const VideoIndex> index;
  int64_t scanned = 0;   // videos that are new or changed
  bool changed = false;  // from what `file` holds
  std::string bytes;     // of the changed index
};

// The index of these videos, as far as possible from what `file` already holds (nothing, if it cannot be used). Writes
// nothing. Files that cannot be used are in it with the reason. Throws kStopped on request, and what is no fault of a
// file, such as kMemory.
IndexUpdate update_index(const std::string& file, const std::string& folder, std::span<const std::string> paths,
                         const IndexOptions& options = {});

// As open_frames(), through `index` where that is given and knows the file.
std::unique_ptr<FrameSource> open_frames(const std::string& path, const VideoIndex* index,
                                         const SourceOptions& options);

}  // namespace engine
