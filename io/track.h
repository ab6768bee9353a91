// Internal to io/: what one scan tells about the video stream of a file, enough to decode any frame of it without
// looking at the file again. A packet's number, counted from 0 in the order of decoding, is its identity everywhere: it
// goes through the decoder in place of the time stamp and comes out with the picture, so that missing, repeated or
// backward time stamps cannot confuse frames.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/av.h"
#include "io/demuxer.h"
#include "io/video.h"

namespace engine::av {

static_assert(std::endian::native == std::endian::little, "tracks are stored little-endian and not swapped");

constexpr int64_t kMaxPackets = 1'000'000;
constexpr uint32_t kNoRank = UINT32_MAX;

struct PacketRecord {
  // What `marks` may hold.
  static constexpr uint8_t kKey = 1;           // decoding may start here
  static constexpr uint8_t kShown = 2;         // gives a frame; not so what is only referred to or cut away
  static constexpr uint8_t kUnreferenced = 4;  // no other picture needs it: it may be left out
  static constexpr uint8_t kDamaged = 8;       // the container says so, or the file ends in it

  uint32_t bytes;
  // The number of the frame that it gives. Of a packet that gives none, the number of frames that are shown before it;
  // kNoRank where that is not known.
  uint32_t rank;
  uint32_t position_low;  // of the bytes in the file, 48 bits; meaningless unless Track::direct()
  uint16_t position_high;
  uint8_t marks;
  uint8_t library_flags;  // AVPacket::flags

  int64_t position() const { return int64_t{position_high} << 32 | position_low; }
  bool key() const { return marks & kKey; }
  bool shown() const { return marks & kShown; }
  bool unreferenced() const { return marks & kUnreferenced; }
  int64_t frame() const { return shown() && rank != kNoRank ? int64_t{rank} : -1; }
};
static_assert(sizeof(PacketRecord) == 16);

// The part of fixed size. Enumerations are FFmpeg's, of the version that made the track.
struct TrackFacts {
  static constexpr uint32_t kOrdered = 1;  // time stamps order the frames; otherwise the order of decoding does
  static constexpr uint32_t kStamped = 2;  // time stamps tell when frames are shown; otherwise nominal_fps
  static constexpr uint32_t kDirect = 4;   // the bytes of all packets were found in the file, and nothing beside
  // The longest step between frames is over half as long again as the shortest.
  static constexpr uint32_t kVariableRate = 8;
  static constexpr uint32_t kOpenGop = 16;  // pictures after a key packet are shown before it
  static constexpr uint32_t kTranspose = 32, kFlipX = 64, kFlipY = 128;  // Orientation
  static constexpr uint32_t kAlpha = 256;  // the container says that there is transparency beside the pictures

  int64_t frames = 0;
  int64_t stated_frames = 0;   // what the header promises; 0 where it does not
  int64_t tick_step = 1;       // frame i is shown i * tick_step ticks after the first; 0: the table of ticks tells
  int64_t unusable_ticks = 0;  // at the start, of pictures that cannot be decoded and are no frames
  int64_t bit_rate = 0;
  double nominal_fps = 0;
  uint32_t packets = 0;
  uint32_t displacement = 0;  // the number of a frame and that of its packet differ by this at most
  int32_t time_base_num = 0, time_base_den = 1;
  uint32_t flags = 0;
  int32_t reorder_depth = 0;  // by how many pictures the order of decoding differs from that of showing, at most
  uint32_t codec_tag = 0;
  int32_t codec_id = 0, format = 0, bits_per_coded_sample = 0, bits_per_raw_sample = 0, profile = 0, level = 0;
  int32_t width = 0, height = 0, aspect_num = 0, aspect_den = 1, field_order = 0;
  int32_t color_range = 0, color_primaries = 0, color_trc = 0, color_space = 0, chroma_location = 0, video_delay = 0;
  uint32_t container_bytes = 0, codec_bytes = 0, format_bytes = 0, extradata_bytes = 0;
};
static_assert(sizeof(TrackFacts) == 48 + 28 * 4 && sizeof(TrackFacts) % 8 == 0);

// What a Track is made from.
struct TrackParts {
  TrackFacts facts;  // of sizes and counts, only `frames` need be filled in
  std::vector<PacketRecord> records;
  std::vector<int64_t> pts, dts;  // of the packets, in the time base; for files that are read with the demuxer
  std::vector<int64_t> ticks;     // of the frames, from the first; where facts.tick_step is 0
  std::string container, codec, format, extradata;
};

// A view of stored bytes: TrackFacts, records, pts, dts, ticks, texts, padding to 8.
class Track {
 public:
  Track() = default;
  explicit Track(const TrackParts& parts);
  // `bytes`, aligned to 8, live as long as `owner`. None where they cannot be a track, of a file of `file_bytes`.
  static std::optional<Track> parse(std::span<const char> bytes, std::shared_ptr<const void> owner, int64_t file_bytes);
  std::string_view bytes() const { return {bytes_.data(), bytes_.size()}; }

  const TrackFacts& facts() const { return *facts_; }
  bool ordered() const { return facts_->flags & TrackFacts::kOrdered; }
  bool direct() const { return facts_->flags & TrackFacts::kDirect; }
  std::string_view container() const { return container_; }  // FFmpeg's name, for example "matroska,webm"
  std::string_view codec() const { return codec_; }
  std::string_view format() const { return format_; }
  std::string_view extradata() const { return extradata_; }
  Orientation orientation() const;

  int64_t packets() const { return std::ssize(records_); }
  int64_t frames() const { return facts_->frames; }
  const PacketRecord& packet(int64_t number) const { return records_[static_cast<size_t>(number)]; }
  // Empty where the file need not be demuxed; INT64_MIN where a packet has none.
  std::span<const int64_t> pts() const { return pts_; }
  std::span<const int64_t> dts() const { return dts_; }
  double seconds(int64_t ticks) const {
    return static_cast<double>(ticks) * (facts_->time_base_num / static_cast<double>(facts_->time_base_den));
  }
  double time_of(int64_t frame) const;  // seconds from the first
  double fps() const;                   // mean
  VideoInfo info() const;

  // The packet of a frame. A decoder may make two frames of one packet, which then has the number of the last. Throws
  // kData where a damaged track has none.
  int64_t packet_of(int64_t frame) const;
  // The nearest packet that decoding may start from to get the frame of packet `number`: the last key packet before it
  // in both orders. Pictures that follow a key packet in the file but are shown before it refer to the one before.
  int64_t start_for(int64_t number) const;
  // The key packet before `start`; 0 when there is none.
  int64_t key_before(int64_t start) const;
  // The only packet with this time stamp and size; -1 when there is none or more than one.
  int64_t find(int64_t pts, int32_t bytes) const;

  // For a decoder.
  Owned<AVCodecParameters> codec_parameters() const;

 private:
  bool starts(int64_t key, int64_t number) const;

  std::shared_ptr<const void> owner_;
  std::span<const char> bytes_;
  const TrackFacts* facts_ = nullptr;
  std::span<const PacketRecord> records_;
  std::span<const int64_t> pts_, dts_, ticks_;
  std::string_view container_, codec_, format_, extradata_;
};

}  // namespace engine::av
