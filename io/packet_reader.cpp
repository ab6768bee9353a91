#include "io/packet_reader.h"

#include <algorithm>
#include <array>
#include <span>

#include "io/h264.h"
#include "io/text.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

namespace engine::av {

namespace {

constexpr int64_t kMaxPackets = 1'000'000;
constexpr int64_t kNear = 32;  // packets that are cheaper to read over than to seek past
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

// Numbers frames by time stamp. False when stamps are missing or not unique among the packets that give frames.
bool order_by_time(PacketList& list) {
  auto& packets = list.packets;
  std::vector<int64_t> order;
  for (size_t i = 0; i < packets.size(); ++i)
    if (packets[i].shown) order.push_back(static_cast<int64_t>(i));
  const auto pts = [&](int64_t number) { return packets[static_cast<size_t>(number)].pts; };
  std::vector<int64_t> sorted = order;
  std::ranges::stable_sort(sorted, {}, pts);
  const bool unique = std::ranges::adjacent_find(sorted, {}, pts) == sorted.end();
  if (sorted.empty() || !unique || pts(sorted.front()) == AV_NOPTS_VALUE) return false;
  for (size_t i = 0; i < sorted.size(); ++i) packets[static_cast<size_t>(sorted[i])].frame = static_cast<int64_t>(i);
  for (size_t i = 0; i < order.size(); ++i) {
    const int64_t late = static_cast<int64_t>(i) - packets[static_cast<size_t>(order[i])].frame;
    list.reorder_depth = std::max(list.reorder_depth, static_cast<int>(std::min<int64_t>(late, kMaxReorderDepth)));
  }
  list.frames = std::move(sorted);
  return true;
}

}  // namespace

void PacketList::order_frames(std::vector<int64_t> shown, double seconds_per_tick, double fps) {
  frames = std::move(shown);
  for (size_t i = 0; i < frames.size(); ++i) packets[static_cast<size_t>(frames[i])].frame = static_cast<int64_t>(i);
  // Whatever the stamps are wrong about: sorted, they are the best guess. Decoding times are those of showing in
  // another order, up to a shift.
  std::vector<int64_t> stamps;
  for (const auto stamp : {&Packet::pts, &Packet::dts}) {
    stamps.clear();
    for (const int64_t number : frames) stamps.push_back(packets[static_cast<size_t>(number)].*stamp);
    std::ranges::sort(stamps);
    if (!stamps.empty() && stamps[0] != AV_NOPTS_VALUE) break;
  }
  const bool stamped = !stamps.empty() && stamps[0] != AV_NOPTS_VALUE;
  times.clear();
  for (size_t i = 0; i < frames.size(); ++i)
    times.push_back(stamped ? static_cast<double>(stamps[i] - stamps[0]) * seconds_per_tick
                            : static_cast<double>(i) / fps);
}

bool PacketList::starts(int64_t key, int64_t number) const {
  const Packet& from = packets[static_cast<size_t>(key)];
  const Packet& wanted = packets[static_cast<size_t>(number)];
  if (!from.key) return false;
  if (ordered) return from.pts != AV_NOPTS_VALUE && from.pts <= wanted.pts;
  return from.frame >= 0 && from.frame <= wanted.frame;
}

int64_t PacketList::start_for(int64_t number) const {
  int64_t key = number;
  while (key > 0 && !starts(key, number)) --key;
  return key;
}

int64_t PacketList::key_before(int64_t start) const {
  int64_t key = std::max<int64_t>(start - 1, 0);
  while (key > 0 && !packets[static_cast<size_t>(key)].key) --key;
  return key;
}

int64_t PacketList::find(int64_t pts, int32_t bytes) const {
  const auto same = [&](const Packet& packet) { return packet.pts == pts && packet.bytes == bytes; };
  const auto found = std::ranges::find_if(packets, same);
  if (found == packets.end() || std::find_if(found + 1, packets.end(), same) != packets.end()) return -1;
  return found - packets.begin();
}

PacketReader::PacketReader(std::string path, const SourceOptions& options, Watch& watch)
    : path_(std::move(path)), options_(options), watch_(watch), landed_(make_packet()) {
  reopen();
  scan();
}

void PacketReader::scan() {
  const AVStream& stream = demuxer_->stream();
  const AVCodecID codec = stream.codecpar->codec_id;
  const bool entries = keys_are_entries(codec);
  H264Entries h264(*stream.codecpar);
  const Owned<AVPacket> packet = make_packet();
  while (demuxer_->read(*packet)) {
    const std::span<const uint8_t> bytes(packet->data, static_cast<size_t>(packet->size));
    bool key = entries && packet->flags & AV_PKT_FLAG_KEY;
    if (key && codec == AV_CODEC_ID_H264) key = h264.is_entry(bytes, list_.packets.empty());
    list_.packets.push_back({packet->pts, packet->dts, packet->size, key, gives_frame(*packet, codec)});
    if (std::ssize(list_.packets) > kMaxPackets)
      throw Error(concat(escaped(path_), ": more than ", kMaxPackets, " packets; cut the video into parts"),
                  exit_code::kData);
  }
  if (list_.packets.empty())
    throw Error(concat(escaped(path_), ": no pictures in this file; it is cut off or only a header"), exit_code::kData);
  list_.ordered = order_by_time(list_);
  if (list_.ordered) {
    const int64_t first = list_.packets[static_cast<size_t>(list_.frames[0])].pts;
    for (const int64_t number : list_.frames)
      list_.times.push_back(static_cast<double>(list_.packets[static_cast<size_t>(number)].pts - first) *
                            av_q2d(stream.time_base));
  }
  position_ = std::ssize(list_.packets);
}

void PacketReader::reopen() {
  demuxer_ = std::make_unique<Demuxer>(path_, options_, watch_);
  position_ = 0;
  has_landed_ = sought_ = false;
}

// Seeks to packet `number` or one before it. The container decides where that ends, so the packet found is looked up.
bool PacketReader::land(int64_t number) {
  const PacketList::Packet& target = list_.packets[static_cast<size_t>(number)];
  const std::string container = demuxer_->container();
  const bool by_decoding_time = container == "mpegts" || container == "mpeg";
  const int64_t stamp = by_decoding_time ? target.dts : target.pts;
  if (!may_seek_ || stamp == AV_NOPTS_VALUE) return false;
  sought_ = true;
  if (!demuxer_->seek(stamp) || !demuxer_->read(*landed_)) return false;
  const int64_t found = list_.find(landed_->pts, landed_->size);
  if (found < 0 || found > number) return false;
  position_ = found;
  has_landed_ = true;
  return true;
}

void PacketReader::go_to(int64_t number) {
  const bool ahead = position_ <= number && number - position_ <= kNear;
  if (!ahead && !land(number)) reopen();
  pass_to(number);
}

void PacketReader::pass_to(int64_t number) {
  const Owned<AVPacket> passed = make_packet();
  while (position_ < number && read(*passed)) {
  }
}

// The packet at position_, from the file; false at the end or when it is not the one that the scan saw there.
bool PacketReader::fetch(AVPacket& packet) {
  if (has_landed_) {
    av_packet_unref(&packet);
    av_packet_move_ref(&packet, landed_.get());
    has_landed_ = false;
    return true;
  }
  return demuxer_->read(packet) && packet.size == list_.packets[static_cast<size_t>(position_)].bytes;
}

bool PacketReader::read(AVPacket& packet) {
  if (position_ == std::ssize(list_.packets)) return false;
  bool same = fetch(packet);
  if (!same && sought_) {
    const int64_t number = position_;
    may_seek_ = false;
    reopen();
    pass_to(number);
    same = fetch(packet);
  }
  if (!same) throw Error(concat(escaped(path_), ": the file changed while it was read"), exit_code::kData);
  packet.pts = position_++;
  packet.dts = AV_NOPTS_VALUE;
  return true;
}

}  // namespace engine::av
