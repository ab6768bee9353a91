// Internal to io/: the packets of one file's video stream. The only place that opens media files, and it trusts none of
// them: regular files only, known containers only, nothing else is opened on their behalf.
#pragma once

#include <cstdint>
#include <string>

#include "io/av.h"
#include "io/frame_source.h"
#include "io/source_error.h"

struct AVStream;

namespace engine::av {

// How a stored picture is turned for showing. Stored pixel (x, y) is shown at (x, y), or at (y, x) when `transpose`,
// with the axis counted from the other end where it is flipped.
struct Orientation {
  bool transpose = false;
  bool flip_x = false;
  bool flip_y = false;
  bool identity() const { return !transpose && !flip_x && !flip_y; }
};

// Throws when a picture would be over the limit of `options`.
void check_pixels(const std::string& path, int width, int height, const SourceOptions& options);

class Demuxer {
 public:
  // Throws kNoInput when the file is missing or unreadable, kData when it has no video that may be read, in one line
  // that says why. `watch` must outlive this object.
  Demuxer(const std::string& path, const SourceOptions& options, const Watch& watch);
  ~Demuxer();
  Demuxer(const Demuxer&) = delete;
  Demuxer& operator=(const Demuxer&) = delete;

  // The next packet of the video stream; false at the end, or where damage ends the file.
  bool read(AVPacket& packet);
  // Moves to a key packet at or before `timestamp`; where exactly depends on the container, so the caller must check.
  bool seek(int64_t timestamp);

  // The first video stream that is not a cover picture.
  const AVStream& stream() const { return *stream_; }
  std::string container() const;  // FFmpeg's name, for example "matroska,webm"
  Orientation orientation() const;

 private:
  struct Guard;
  void open();
  void probe(const SourceOptions& options);
  AVStream* find_video() const;
  [[noreturn]] void refuse(SourceFault fault, const std::string& why) const;
  std::string what_else_is_there() const;
  void check_stream(const SourceOptions& options) const;

  std::string path_, head_;
  const Watch& watch_;
  std::unique_ptr<Guard> guard_;  // refuses what the file wants opened; the context points to it
  Owned<AVFormatContext> context_;
  AVStream* stream_ = nullptr;
};

}  // namespace engine::av
