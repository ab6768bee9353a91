// Video files: exact frames by number or time, or one after the other.
#pragma once

#include "io/frame_source.h"

namespace engine {

class VideoIndex;

// False in a build without FFmpeg (ENGINE_VIDEO=OFF), where everything below throws kNoDevice.
bool video_available();

// Version of the FFmpeg in use and of its codecs, for example "5.1.9 (libavcodec 59.37.100)".
std::string ffmpeg_version();

// Names of the codecs that can be decoded here, as FFmpeg calls them: those that are allowed and that it has.
std::vector<std::string> decodable_codecs();

struct VideoInfo {
  FrameSize size;         // as shown, after rotation; the shape of the pixels (aspect ratio) is not applied
  int rotation = 0;       // degrees clockwise that stored pictures are turned by for showing: 0, 90, 180 or 270
  bool mirrored = false;  // and mirrored left to right after that
  double fps = 0;         // mean rate over the file
  bool stamped = true;    // time stamps order the frames; otherwise the order of decoding does
  std::string codec;      // for example "h264"
  std::string container;  // FFmpeg's name, for example "matroska,webm"
  // Of the pictures as they are stored: what the header says, and after next() what the decoded picture does.
  std::string pixel_format;  // FFmpeg's name, for example "yuv420p"; empty where the header does not say
  std::string matrix;        // "bt601", "bt709", "rgb", "unstated", or FFmpeg's name for others
  std::string range;         // "limited", "full" or "unstated"
  bool interlaced = false;
  double pixel_aspect = 1;     // width over height of a pixel as it is stored
  bool variable_rate = false;  // the longest step between frames is over half as long again as the shortest
  int64_t packets = 0;         // stored pictures, whether they are shown or not
  int64_t gop_max = 0;         // packets from one that decoding may start at to the next
  double gop_mean = 0;
  int64_t stated_frames = 0;  // what the header promises; 0 where it does not
  // Seconds at the start whose frames cannot be decoded, because the stream starts behind the key picture that they
  // need; they do not count as frames.
  double unusable_start = 0;
  bool alpha = false;        // has transparency, which is ignored
  bool converted = false;    // pictures become RGB by swscale before they are seen, which takes longer
  bool varied_size = false;  // pictures of other sizes than the header's came; they are scaled as the others are
};

struct Frame {
  int64_t index = -1;  // number of the frame in the order of showing
  double time = 0;     // seconds from the first frame
  FrameSize size;
  std::vector<uint8_t> rgb;  // (height, width, 3), row-major
  bool damaged = false;      // the decoder reports errors in it; told by next()
};

// Reads the first video stream that is not a cover picture. Opening scans all packets without decoding, or takes what
// an earlier scan found from an index (io/video_index.h), which gives the exact list of frames; only files without
// usable time stamps are decoded once for it. A frame asked for by number is the same to the bit as in a sequential
// pass; where the decoder reports damage, that pass is repeated up to the frame. Frames are upright, RGB, 8 bits a
// channel; colours as the file states (BT.601 when it does not).
class VideoReader final : public FrameSource {
 public:
  // Throws kNoInput when the file is missing or unreadable, kData when it is no video, damaged beyond reading,
  // encrypted or over the limits of `options`.
  explicit VideoReader(const std::string& path, const SourceOptions& options = {});
  // The same without the scan, from what `index` knows of the file; of a file that it does not know as above. Of most
  // containers the pictures needed are then read straight from their places in the file. Throws as well what the index
  // says about files that cannot be used, and kData when the file was written to since it was indexed.
  VideoReader(const std::string& path, const VideoIndex& index, const SourceOptions& options = {});
  ~VideoReader() override;

  const VideoInfo& info() const;
  int64_t frame_count() const override;
  FrameSize size() const override { return info().size; }
  const std::vector<double>& times() const override;
  double pixel_aspect() const override {
    return info().rotation % 180 == 0 ? info().pixel_aspect : 1 / info().pixel_aspect;
  }
  // The frame shown at `seconds` from the first; the first or last frame outside the video.
  int64_t index_at(double seconds) const;

  void read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) override;
  void view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) override;
  Frame read_frame(int64_t index, FrameSize size = {});

  // Sequential decoding from the first frame: every picture that the decoder gives, in its order. False after the last
  // one; the call after that starts over. Damage may leave out numbers. Throws kData when the whole file gives none.
  // read_frames() in between makes the next call start over, too.
  bool next(Frame& frame, FrameSize size = {});
  // About where the decoder refused packets in the pass of next() that is under way or ended last: a number of a frame
  // for each of them.
  std::vector<int64_t> refused() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace engine
