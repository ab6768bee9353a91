// Internal to io/: one codec context, and pictures of any format turned into RGB.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/av.h"
#include "io/demuxer.h"
#include "io/frame_source.h"

namespace engine::av {

struct TrackFacts;

// One thread, so that damaged data decode the same way every time. Damaged packets are no errors here: they give fewer
// pictures, or flagged ones.
class Decoder {
 public:
  // `reorder_depth`: by how many pictures the order of decoding may differ from that of showing. Throws as
  // check_codec().
  Decoder(const std::string& path, const AVCodecParameters& parameters, int reorder_depth, int64_t max_pixels);

  // False when the decoder finds the packet damaged.
  bool send(const AVPacket& packet);
  // No packet comes any more: what is held back comes out.
  void drain();
  bool receive(AVFrame& frame);
  // Forgets all packets, so that others may follow. False for codecs that may remember something: use another decoder.
  bool restart();

 private:
  Owned<AVCodecContext> context_;
};

// The most that decoding a track and converting its pictures takes: those that the codec and its level let a stream
// keep, in the format that the header states. What FFmpeg needs whatever the size of pictures is not in it.
int64_t decoder_bytes(const TrackFacts& facts, std::string_view extradata, bool rgb_first);

// The name for users, for example "h264".
std::string codec_name(const AVCodecParameters& parameters);
// Throws kData when the codec is not one that is read here; `path` is for the message.
void check_codec(const std::string& path, const AVCodecParameters& parameters);
// Whether pictures of this format (AVPixelFormat) are seen as they are; others become RGB by swscale first.
bool is_seen_directly(int pixel_format);

// Scales and converts pictures; keeps what it has prepared for the next one of the same kind.
class Converter {
 public:
  Converter();
  ~Converter();
  Converter(Converter&&) noexcept;
  Converter& operator=(Converter&&) noexcept;

  // Writes `frame`, turned as `orientation` says, as RGB of `size` (after turning) to `rgb`: one pass from the stored
  // format to the size asked for (triangle filter, widened when shrinking). The colour matrix and range are those that
  // the frame states; where it states none BT.601, and limited range for YUV. Alpha is ignored. Throws kData.
  void convert(const AVFrame& frame, const Orientation& orientation, FrameSize size, uint8_t* rgb);
  // Writes what is seen of `frame` through `view`. Matrix and range as above, but what states no matrix is as
  // `untagged` says. Formats whose samples do not lie apart in one or two whole bytes (palettes, float numbers, bits)
  // become RGB by swscale first. Throws kData.
  void convert(const AVFrame& frame, const Orientation& orientation, const FrameView& view, Untagged untagged,
               uint8_t* rgb);
  // Pictures that were made RGB before they were seen, since the start of the process.
  static int64_t pictures_made_rgb();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace engine::av
