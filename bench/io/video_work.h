// What reading clips is made of, each part timed by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/video_index.h"

namespace engine::bench {

using nlohmann::json;

double cpu_seconds();   // of this process, all threads
double wall_seconds();  // since some moment

struct ClipRequest {
  size_t video;
  std::vector<int64_t> frames;
};

struct WorkOptions {
  int frames = 16, stride = 2, size = 112;  // of a clip; a square of `size` pixels
  int clips = 24;                           // drawn; clip i of video i, i modulo their number
};

class VideoWork {
 public:
  // Scans the videos. Those that cannot be used, or are read with a demuxer, are left out. Throws kData for none.
  VideoWork(const std::vector<std::string>& paths, const WorkOptions& options);
  ~VideoWork();

  // The videos, the clips and the version of FFmpeg.
  json describe() const;

  // What follows gives how many (frames, clips, videos) it has done, unless stated otherwise.

  // The whole video, decoded and thrown away.
  int64_t decode_all(size_t video) const;
  enum class Through { index, whole_index, scan };  // whole_index: no picture is left out
  // Opens each of the clips [begin, end) and reads it.
  int64_t read_clips(size_t begin, size_t end, Through through) const;
  // Of the same clips, for each the least of `rounds`, summed up. In processor milliseconds:
  //   decode_ms        the packets that the clips take, decoded and thrown away by decoders that are ready
  //   decode_whole_ms  the same with no picture left out
  //   convert_ms       the pictures made RGB
  //   between_ms       what decoding takes longer where each picture is made RGB before the next is decoded
  //   decoder_ms       making and freeing the decoders
  //   open_ms          opening and closing the clip's file
  //   packets_ms       reading the packets
  //   read_ms          read_clips()
  // and how many packets, and clips (count).
  json parts(size_t begin, size_t end, int rounds) const;
  // The pictures of a clip made RGB `rounds` times, in one pass by our kernel or by swscale's.
  int64_t convert(size_t clip, int rounds, bool swscale);
  // An index of all videos, made by this thread.
  int64_t make_index() const;
  // Writes frames of a video at its own size, RGB, one behind the other.
  int64_t write_frames(size_t video, const std::vector<int64_t>& frames, const std::string& file) const;

  const std::vector<std::string>& paths() const { return paths_; }
  const WorkOptions& options() const { return options_; }
  std::shared_ptr<const VideoIndex> index() const { return update_.index; }

 private:
  struct Pictures;

  std::vector<std::string> paths_;
  WorkOptions options_;
  size_t left_out_ = 0;
  IndexUpdate update_;
  std::shared_ptr<const VideoIndex> whole_;
  std::vector<ClipRequest> clips_;
  std::unique_ptr<Pictures> pictures_;
};

}  // namespace engine::bench
