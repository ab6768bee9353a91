#include "io/scan.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "io/decoder.h"
#include "io/descriptor.h"
#include "io/h264.h"
#include "io/source_error.h"
#include "io/text.h"
#include "io/unreferenced.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/dict.h>
#include <libavutil/pixdesc.h>
}

namespace engine::av {
namespace {

constexpr int kMaxReorderDepth = 16;

// Codecs whose key packets depend on nothing before them. Containers flag others too (GIF, Cinepak), where it is not
// so.
bool keys_are_entries(AVCodecID codec) {
  constexpr std::array kCodecs = {
      AV_CODEC_ID_H264,  AV_CODEC_ID_HEVC,       AV_CODEC_ID_VP8,        AV_CODEC_ID_VP9,
      AV_CODEC_ID_AV1,   AV_CODEC_ID_MPEG1VIDEO, AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_MPEG4,
      AV_CODEC_ID_MJPEG, AV_CODEC_ID_MSMPEG4V2,  AV_CODEC_ID_MSMPEG4V3,  AV_CODEC_ID_H263,
      AV_CODEC_ID_FLV1,  AV_CODEC_ID_PRORES,     AV_CODEC_ID_DNXHD,      AV_CODEC_ID_RAWVIDEO};
  return std::ranges::find(kCodecs, codec) != kCodecs.end();
}

bool gives_frame(const AVPacket& packet, AVCodecID codec) {
  if (packet.size == 0 || packet.flags & AV_PKT_FLAG_DISCARD) return false;
  constexpr uint8_t kShowFrame = 0x10;  // RFC 6386, 9.1
  return codec != AV_CODEC_ID_VP8 || packet.data[0] & kShowFrame;
}

// Of MPEG-4 Part 2 (ISO/IEC 14496-2, 6.2.5, vop_coding_type): an intra picture and nothing else. In packed streams key
// packets may also hold a picture that needs the one before, or stand for it and be empty.
bool is_whole_intra_vop(std::span<const uint8_t> bytes) {
  constexpr std::array<uint8_t, 4> kVopStart = {0, 0, 1, 0xb6};
  constexpr size_t kLongestEmpty = 19;
  const auto vop = std::ranges::search(bytes, kVopStart);
  return bytes.size() > kLongestEmpty && vop.end() != bytes.end() && *vop.end() >> 6 == 0 &&
         std::ranges::search(vop.end(), bytes.end(), kVopStart.begin(), kVopStart.end()).empty();
}

double plausible_fps(const AVStream& stream) {
  for (const AVRational rate : {stream.avg_frame_rate, stream.r_frame_rate}) {
    const double fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
    if (fps >= 0.01 && fps <= 1000) return fps;
  }
  return 25;
}

// Finds the bytes of packets in the file itself.
class Places {
 public:
  explicit Places(const std::string& path) {
    file_.open(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  }
  // Where in the file the packet's bytes are, at most a short header behind the place that the container gives; -1 when
  // they are not there.
  int64_t find(const AVPacket& packet) {
    constexpr size_t kMostHeader = 64;
    if (packet.size == 0) return 0;
    if (packet.pos < 0 || packet.side_data_elems > 0) return -1;
    const auto size = static_cast<size_t>(packet.size);
    const auto window = bytes_at(packet.pos, size + kMostHeader);
    for (size_t skip = 0; skip <= kMostHeader && skip + size <= window.size(); ++skip)
      if (std::memcmp(window.data() + skip, packet.data, size) == 0) return packet.pos + static_cast<int64_t>(skip);
    return -1;
  }

 private:
  // Up to `count` bytes from `position`; fewer at the end of the file.
  std::span<const uint8_t> bytes_at(int64_t position, size_t count) {
    constexpr size_t kChunk = 256 * 1024;
    const bool inside = position >= begin_ && position + static_cast<int64_t>(count) <= begin_ + std::ssize(buffer_);
    if (!inside) {
      buffer_.resize(std::max(count, kChunk));
      const ssize_t got = retry([&] { return ::pread(file_.get(), buffer_.data(), buffer_.size(), position); });
      buffer_.resize(got > 0 ? static_cast<size_t>(got) : 0);
      begin_ = position;
    }
    const auto skip = static_cast<size_t>(position - begin_);
    return std::span<const uint8_t>(buffer_).subspan(skip, std::min(count, buffer_.size() - skip));
  }

  Descriptor file_;
  std::vector<uint8_t> buffer_;
  int64_t begin_ = 0;
};

class Scan {
 public:
  Scan(Demuxer& demuxer, const std::string& path, const SourceOptions& options, Watch& watch)
      : demuxer_(demuxer), path_(path), options_(options), watch_(watch) {
    describe();
  }
  Track run(bool prove);

 private:
  void describe();
  void read_packets(bool prove);
  bool order_by_time();
  template <class F>
  void decode(int reorder_depth, const F& take);
  void order_by_decoding();
  void leave_out_unusable_start();
  void number_frames();
  void set_times(std::vector<int64_t> stamps);
  void look_for_leading_pictures();
  [[noreturn]] void refuse(SourceFault fault, const std::string& why) const {
    throw SourceError(fault, concat(escaped(path_), ": ", why));
  }

  Demuxer& demuxer_;
  const std::string& path_;
  const SourceOptions& options_;
  Watch& watch_;
  TrackParts parts_;
  std::vector<int64_t> frames_;  // the packet of each frame, in the order of showing
};

void Scan::describe() {
  const AVStream& stream = demuxer_.stream();
  const AVCodecParameters& p = *stream.codecpar;
  TrackFacts& facts = parts_.facts;
  facts.bit_rate = p.bit_rate;
  facts.nominal_fps = plausible_fps(stream);
  facts.time_base_num = stream.time_base.num;
  facts.time_base_den = stream.time_base.den;
  facts.codec_tag = p.codec_tag;
  facts.codec_id = p.codec_id;
  facts.format = p.format;
  facts.bits_per_coded_sample = p.bits_per_coded_sample;
  facts.bits_per_raw_sample = p.bits_per_raw_sample;
  facts.profile = p.profile;
  facts.level = p.level;
  facts.width = p.width;
  facts.height = p.height;
  const AVRational aspect = stream.sample_aspect_ratio.num > 0 ? stream.sample_aspect_ratio : p.sample_aspect_ratio;
  facts.aspect_num = aspect.num;
  facts.aspect_den = aspect.den;
  facts.stated_frames = stream.nb_frames;
  facts.field_order = p.field_order;
  facts.color_range = p.color_range;
  facts.color_primaries = p.color_primaries;
  facts.color_trc = p.color_trc;
  facts.color_space = p.color_space;
  facts.chroma_location = p.chroma_location;
  facts.video_delay = p.video_delay;
  const Orientation orientation = demuxer_.orientation();
  facts.flags = (orientation.transpose ? TrackFacts::kTranspose : 0u) | (orientation.flip_x ? TrackFacts::kFlipX : 0u) |
                (orientation.flip_y ? TrackFacts::kFlipY : 0u) |
                (av_dict_get(stream.metadata, "alpha_mode", nullptr, 0) ? TrackFacts::kAlpha : 0u);
  const char* const format = av_get_pix_fmt_name(static_cast<AVPixelFormat>(p.format));
  parts_.container = demuxer_.container();
  parts_.codec = codec_name(p);
  parts_.format = format ? format : "";
  parts_.extradata.assign(reinterpret_cast<const char*>(p.extradata), static_cast<size_t>(p.extradata_size));
}

void Scan::read_packets(bool prove) {
  const AVCodecParameters& parameters = *demuxer_.stream().codecpar;
  const AVCodecID codec = parameters.codec_id;
  const bool entries = keys_are_entries(codec);
  H264Entries h264(parameters);
  UnreferencedPictures unreferenced(parameters, parts_.container);
  Places places(path_);
  const Owned<AVPacket> packet = make_packet();
  while (demuxer_.read(*packet)) {
    const std::span<const uint8_t> bytes(packet->data, static_cast<size_t>(packet->size));
    bool key = entries && packet->flags & AV_PKT_FLAG_KEY;
    if (key && codec == AV_CODEC_ID_MPEG4) key = is_whole_intra_vop(bytes);
    if (key && codec == AV_CODEC_ID_H264) key = h264.is_entry(bytes, parts_.records.empty());
    unreferenced.add(bytes);
    const int64_t place = prove ? places.find(*packet) : -1;
    prove = place >= 0 && place < int64_t{1} << 48;
    const int marks = (key ? PacketRecord::kKey : 0) | (gives_frame(*packet, codec) ? PacketRecord::kShown : 0) |
                      (packet->flags & AV_PKT_FLAG_CORRUPT ? PacketRecord::kDamaged : 0);
    parts_.records.push_back({static_cast<uint32_t>(packet->size), kNoRank, static_cast<uint32_t>(prove ? place : 0),
                              static_cast<uint16_t>(prove ? place >> 32 : 0), static_cast<uint8_t>(marks),
                              static_cast<uint8_t>(packet->flags)});
    parts_.pts.push_back(packet->pts);
    parts_.dts.push_back(packet->dts);
    if (std::ssize(parts_.records) > kMaxPackets)
      refuse(SourceFault::too_large, concat("more than ", kMaxPackets, " packets; cut the video into parts"));
  }
  if (parts_.records.empty())
    refuse(SourceFault::cut_off, "no pictures: the file is cut off or only a header; get it again");
  if (prove) parts_.facts.flags |= TrackFacts::kDirect;
  const std::vector<bool> found = unreferenced.found();
  for (size_t i = 0; i < found.size(); ++i)
    if (found[i]) parts_.records[i].marks |= PacketRecord::kUnreferenced;
}

// Numbers frames by time stamp. False when stamps are missing or not unique among the packets that give frames.
bool Scan::order_by_time() {
  std::vector<int64_t> order;
  for (size_t i = 0; i < parts_.records.size(); ++i)
    if (parts_.records[i].shown()) order.push_back(static_cast<int64_t>(i));
  const auto pts = [&](int64_t number) { return parts_.pts[static_cast<size_t>(number)]; };
  std::vector<int64_t> sorted = order;
  std::ranges::stable_sort(sorted, {}, pts);
  const bool unique = std::ranges::adjacent_find(sorted, {}, pts) == sorted.end();
  if (sorted.empty() || !unique || pts(sorted.front()) == AV_NOPTS_VALUE) return false;
  frames_ = std::move(sorted);
  number_frames();
  for (size_t i = 0; i < order.size(); ++i) {
    const int64_t late = static_cast<int64_t>(i) - parts_.records[static_cast<size_t>(order[i])].rank;
    const int depth = static_cast<int>(std::min<int64_t>(late, kMaxReorderDepth));
    parts_.facts.reorder_depth = std::max(parts_.facts.reorder_depth, depth);
  }
  for (size_t i = 0; i < parts_.records.size(); ++i) {
    if (parts_.records[i].shown() || parts_.pts[i] == AV_NOPTS_VALUE) continue;
    const auto before = std::ranges::lower_bound(frames_, parts_.pts[i], {}, pts);
    parts_.records[i].rank = static_cast<uint32_t>(before - frames_.begin());
  }
  std::vector<int64_t> stamps;
  for (const int64_t number : frames_) stamps.push_back(pts(number));
  set_times(std::move(stamps));
  parts_.facts.flags |= TrackFacts::kOrdered;
  return true;
}

// Decodes from the beginning; take(number of the packet) of every frame that comes, until that is false.
template <class F>
void Scan::decode(int reorder_depth, const F& take) {
  Demuxer demuxer(path_, options_, watch_);
  Decoder decoder(path_, *demuxer.stream().codecpar, reorder_depth, options_.max_pixels);
  const Owned<AVPacket> packet = make_packet();
  const Owned<AVFrame> picture = make_frame();
  const int64_t count = std::ssize(parts_.records);
  for (int64_t number = 0; number <= count; ++number) {
    watch_.check(path_);
    if (number == count) {
      decoder.drain();
    } else {
      const uint32_t bytes = parts_.records[static_cast<size_t>(number)].bytes;
      if (!demuxer.read(*packet) || static_cast<uint32_t>(packet->size) != bytes)
        refuse(SourceFault::changed, "the file changed while it was read");
      packet->pts = number;
      packet->dts = AV_NOPTS_VALUE;
      if (packet->size > 0) decoder.send(*packet);
    }
    while (decoder.receive(*picture)) {
      const bool known = picture->pts >= 0 && picture->pts < count;
      if (!known || !parts_.records[static_cast<size_t>(picture->pts)].shown()) continue;
      if (!take(picture->pts)) return;
      watch_.restart();
    }
  }
}

// Takes the order of showing from a decoder that gets everything.
void Scan::order_by_decoding() {
  decode(0, [&](int64_t number) {
    frames_.push_back(number);
    return true;
  });
  if (frames_.empty()) refuse(SourceFault::damaged, "not one frame can be decoded");
  // Whatever the stamps are wrong about: sorted, they are the best guess. Decoding times are those of showing in
  // another order, up to a shift.
  number_frames();
  for (const auto* column : {&parts_.pts, &parts_.dts}) {
    std::vector<int64_t> stamps;
    for (const int64_t number : frames_) stamps.push_back((*column)[static_cast<size_t>(number)]);
    std::ranges::sort(stamps);
    if (stamps[0] == AV_NOPTS_VALUE) continue;
    set_times(std::move(stamps));
    return;
  }
}

// In a stream that was cut out of a longer one, pictures that are shown before the first key picture may refer to what
// is not there. Those that a decoder does not give before the first that it does are no frames.
void Scan::leave_out_unusable_start() {
  const auto key = std::ranges::find_if(parts_.records, &PacketRecord::key);
  if (key == parts_.records.end() || !key->shown() || key->rank == 0) return;
  std::vector<bool> comes(key->rank);
  decode(parts_.facts.reorder_depth, [&](int64_t number) {
    const uint32_t rank = parts_.records[static_cast<size_t>(number)].rank;
    if (rank < comes.size()) comes[rank] = true;
    return rank < comes.size();
  });
  const auto unusable = static_cast<size_t>(std::ranges::find(comes, true) - comes.begin());
  if (unusable == 0) return;
  const auto first_stamp = [&] { return parts_.pts[static_cast<size_t>(frames_[0])]; };
  const int64_t start = first_stamp();
  for (size_t rank = 0; rank < unusable; ++rank)
    parts_.records[static_cast<size_t>(frames_[rank])].marks &= ~PacketRecord::kShown;
  order_by_time();
  parts_.facts.unusable_ticks = first_stamp() - start;
}

void Scan::number_frames() {
  for (size_t i = 0; i < frames_.size(); ++i) {
    const auto rank = static_cast<uint32_t>(i);
    parts_.records[static_cast<size_t>(frames_[i])].rank = rank;
    const auto distance = static_cast<uint32_t>(std::abs(frames_[i] - int64_t{rank}));
    parts_.facts.displacement = std::max(parts_.facts.displacement, distance);
  }
  parts_.facts.frames = std::ssize(frames_);
}

// `stamps`: of all frames, ascending.
void Scan::set_times(std::vector<int64_t> stamps) {
  TrackFacts& facts = parts_.facts;
  facts.flags |= TrackFacts::kStamped;
  const int64_t first = stamps[0];
  for (int64_t& stamp : stamps) stamp -= first;
  int64_t shortest = INT64_MAX, longest = 0;
  for (size_t i = 1; i < stamps.size(); ++i) {
    shortest = std::min(shortest, stamps[i] - stamps[i - 1]);
    longest = std::max(longest, stamps[i] - stamps[i - 1]);
  }
  constexpr double kRounding = 0.002;  // seconds; of a clock of milliseconds
  const double allowed =
      1.5 * static_cast<double>(shortest) + kRounding * facts.time_base_den / std::max(facts.time_base_num, 1);
  if (stamps.size() > 2 && static_cast<double>(longest) > allowed)
    facts.flags |= TrackFacts::kVariableRate;
  else
    facts.flags &= ~TrackFacts::kVariableRate;
  facts.tick_step = stamps.size() < 2 ? 1 : shortest == longest ? shortest : 0;
  if (facts.tick_step != 0) stamps.clear();
  parts_.ticks = std::move(stamps);
}

void Scan::look_for_leading_pictures() {
  if (!(parts_.facts.flags & TrackFacts::kOrdered)) return;
  uint32_t key = 0;
  for (const PacketRecord& record : parts_.records) {
    if (record.key() && record.rank != kNoRank) key = record.rank;
    if (record.frame() >= 0 && record.rank < key) parts_.facts.flags |= TrackFacts::kOpenGop;
  }
}

Track Scan::run(bool prove) {
  read_packets(prove);
  if (order_by_time())
    leave_out_unusable_start();
  else
    order_by_decoding();
  look_for_leading_pictures();
  if (parts_.facts.flags & TrackFacts::kDirect) {
    parts_.pts.clear();
    parts_.dts.clear();
  }
  return Track(parts_);
}

}  // namespace

Track scan_track(Demuxer& demuxer, const std::string& path, const SourceOptions& options, Watch& watch, bool prove) {
  return Scan(demuxer, path, options, watch).run(prove);
}

Track scan_file(const std::string& path, const SourceOptions& options) {
  Watch watch(options.timeout_seconds, options.stop);
  Demuxer demuxer(path, options, watch);
  return scan_track(demuxer, path, options, watch, true);
}

std::array<uint32_t, 2> library_versions() { return {avformat_version(), avcodec_version()}; }

Owned<AVCodecParameters> Track::codec_parameters() const {
  Owned<AVCodecParameters> result(avcodec_parameters_alloc());
  const size_t extra = extradata_.size();
  if (result && extra > 0) {
    result->extradata = static_cast<uint8_t*>(av_mallocz(extra + AV_INPUT_BUFFER_PADDING_SIZE));
    if (result->extradata) std::memcpy(result->extradata, extradata_.data(), extra);
  }
  const bool complete = result && (extra == 0 || result->extradata);
  if (!complete) throw Error("video: out of memory; use fewer --workers", exit_code::kMemory);
  const TrackFacts& facts = *facts_;
  result->codec_type = AVMEDIA_TYPE_VIDEO;
  result->extradata_size = static_cast<int>(extra);
  result->bit_rate = facts.bit_rate;
  result->codec_tag = facts.codec_tag;
  result->format = facts.format;
  result->bits_per_coded_sample = facts.bits_per_coded_sample;
  result->bits_per_raw_sample = facts.bits_per_raw_sample;
  result->profile = facts.profile;
  result->level = facts.level;
  result->width = facts.width;
  result->height = facts.height;
  result->sample_aspect_ratio = {facts.aspect_num, facts.aspect_den};
  // An enumeration may hold no other values than its own, whatever is stored.
  const auto one_of = []<class Enum>(int32_t value, Enum count, Enum otherwise) {
    return value >= 0 && value < static_cast<int32_t>(count) ? static_cast<Enum>(value) : otherwise;
  };
  result->codec_id = one_of(facts.codec_id, AV_CODEC_ID_FIRST_AUDIO, AV_CODEC_ID_NONE);
  result->field_order = one_of(facts.field_order, static_cast<AVFieldOrder>(AV_FIELD_BT + 1), AV_FIELD_UNKNOWN);
  result->color_range = one_of(facts.color_range, AVCOL_RANGE_NB, AVCOL_RANGE_UNSPECIFIED);
  result->color_primaries = one_of(facts.color_primaries, AVCOL_PRI_NB, AVCOL_PRI_UNSPECIFIED);
  result->color_trc = one_of(facts.color_trc, AVCOL_TRC_NB, AVCOL_TRC_UNSPECIFIED);
  result->color_space = one_of(facts.color_space, AVCOL_SPC_NB, AVCOL_SPC_UNSPECIFIED);
  result->chroma_location = one_of(facts.chroma_location, AVCHROMA_LOC_NB, AVCHROMA_LOC_UNSPECIFIED);
  result->video_delay = facts.video_delay;
  return result;
}

}  // namespace engine::av
