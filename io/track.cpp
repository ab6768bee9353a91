#include "io/track.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace engine::av {
namespace {

template <class T>
void append(std::string& bytes, const std::vector<T>& values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Takes parts off the front of some bytes; `good` turns false where they do not suffice.
struct Taker {
  std::span<const char> left;
  bool good = true;

  std::span<const char> take(size_t bytes) {
    good = good && bytes <= left.size();
    if (!good) return {};
    const auto part = left.first(bytes);
    left = left.subspan(bytes);
    return part;
  }
  template <class T>
  std::span<const T> table(int64_t count) {
    const auto part = take(static_cast<size_t>(count) * sizeof(T));
    return {reinterpret_cast<const T*>(part.data()), part.size() / sizeof(T)};
  }
  std::string_view text(uint32_t bytes) {
    const auto part = take(bytes);
    return {part.data(), part.size()};
  }
};

bool plausible(const TrackFacts& facts) {
  return facts.packets >= 1 && facts.packets <= kMaxPackets && facts.frames >= 1 && facts.frames <= 4 * kMaxPackets &&
         facts.unusable_ticks >= 0 && facts.tick_step >= 0 && facts.tick_step <= INT64_MAX / facts.frames &&
         std::isfinite(facts.nominal_fps) && facts.nominal_fps > 0 && facts.time_base_den > 0 &&
         facts.time_base_num >= 0 && facts.width > 0 && facts.height > 0 && facts.reorder_depth >= 0 &&
         facts.reorder_depth <= 16 && facts.video_delay >= 0 && facts.video_delay <= 16;
}

bool plausible(const PacketRecord& record, const TrackFacts& facts, int64_t file_bytes) {
  const bool ranked = record.rank == kNoRank || record.rank < facts.frames + (record.shown() ? 0 : 1);
  const bool inside = !(facts.flags & TrackFacts::kDirect) || record.position() + record.bytes <= file_bytes;
  return ranked && inside && record.bytes <= INT32_MAX / 2;
}

}  // namespace

Track::Track(const TrackParts& parts) {
  TrackFacts facts = parts.facts;
  facts.packets = static_cast<uint32_t>(parts.records.size());
  facts.container_bytes = static_cast<uint32_t>(parts.container.size());
  facts.codec_bytes = static_cast<uint32_t>(parts.codec.size());
  facts.format_bytes = static_cast<uint32_t>(parts.format.size());
  facts.extradata_bytes = static_cast<uint32_t>(parts.extradata.size());
  auto bytes = std::make_shared<std::string>(reinterpret_cast<const char*>(&facts), sizeof facts);
  append(*bytes, parts.records);
  append(*bytes, parts.pts);
  append(*bytes, parts.dts);
  append(*bytes, parts.ticks);
  for (const std::string* text : {&parts.container, &parts.codec, &parts.format, &parts.extradata}) *bytes += *text;
  bytes->resize((bytes->size() + 7) / 8 * 8);
  const auto track = parse(*bytes, bytes, INT64_MAX);
  if (!track) throw Error("video: a track that was just made cannot be used", exit_code::kInternal);
  *this = *track;
}

std::optional<Track> Track::parse(std::span<const char> bytes, std::shared_ptr<const void> owner, int64_t file_bytes) {
  Track track;
  Taker taker{bytes};
  const auto head = taker.take(sizeof(TrackFacts));
  if (!taker.good) return std::nullopt;
  const auto& facts = *reinterpret_cast<const TrackFacts*>(head.data());
  if (!plausible(facts)) return std::nullopt;
  const int64_t stamps = facts.flags & TrackFacts::kDirect ? 0 : facts.packets;
  track.owner_ = std::move(owner);
  track.bytes_ = bytes;
  track.facts_ = &facts;
  track.records_ = taker.table<PacketRecord>(facts.packets);
  track.pts_ = taker.table<int64_t>(stamps);
  track.dts_ = taker.table<int64_t>(stamps);
  track.ticks_ = taker.table<int64_t>(facts.tick_step == 0 ? facts.frames : 0);
  track.container_ = taker.text(facts.container_bytes);
  track.codec_ = taker.text(facts.codec_bytes);
  track.format_ = taker.text(facts.format_bytes);
  track.extradata_ = taker.text(facts.extradata_bytes);
  const bool ends = taker.good && taker.left.size() < 8 && std::ranges::all_of(taker.left, [](char c) { return !c; });
  const auto valid = [&](const PacketRecord& record) { return plausible(record, facts, file_bytes); };
  if (!ends || !std::ranges::all_of(track.records_, valid)) return std::nullopt;
  return track;
}

Orientation Track::orientation() const {
  const uint32_t flags = facts_->flags;
  return {(flags & TrackFacts::kTranspose) != 0, (flags & TrackFacts::kFlipX) != 0, (flags & TrackFacts::kFlipY) != 0};
}

double Track::time_of(int64_t frame) const {
  if (!(facts_->flags & TrackFacts::kStamped)) return static_cast<double>(frame) / facts_->nominal_fps;
  const int64_t ticks = ticks_.empty() ? frame * facts_->tick_step : ticks_[static_cast<size_t>(frame)];
  return seconds(ticks);
}

double Track::fps() const {
  const double last = time_of(frames() - 1);
  return frames() > 1 && last > 0 ? static_cast<double>(frames() - 1) / last : facts_->nominal_fps;
}

VideoInfo Track::info() const {
  const Orientation turned = orientation();
  VideoInfo info;
  info.codec = codec_;
  info.container = container_;
  info.size = {facts_->width, facts_->height};
  if (turned.transpose) std::swap(info.size.width, info.size.height);
  info.mirrored = turned.transpose == (turned.flip_x == turned.flip_y);
  info.rotation = (turned.transpose ? 90 : 0) + (turned.flip_y ? 180 : 0);
  info.stamped = ordered();
  info.fps = fps();
  info.pixel_format = format_;
  info.stated_frames = facts_->stated_frames;
  info.variable_rate = facts_->flags & TrackFacts::kVariableRate;
  info.alpha = facts_->flags & TrackFacts::kAlpha;
  info.unusable_start = seconds(facts_->unusable_ticks);
  if (facts_->aspect_num > 0 && facts_->aspect_den > 0)
    info.pixel_aspect = static_cast<double>(facts_->aspect_num) / facts_->aspect_den;
  info.packets = packets();
  int64_t start = 0, groups = 1;
  for (int64_t i = 1; i <= packets(); ++i) {
    if (i < packets() && !packet(i).key()) continue;
    info.gop_max = std::max(info.gop_max, i - start);
    groups += i < packets();
    start = i;
  }
  info.gop_mean = static_cast<double>(packets()) / static_cast<double>(groups);
  return info;
}

int64_t Track::packet_of(int64_t frame) const {
  const int64_t first = std::max<int64_t>(frame - facts_->displacement, 0);
  const int64_t last = std::min<int64_t>(frame + facts_->displacement, packets() - 1);
  int64_t found = -1;
  for (int64_t number = first; number <= last; ++number) {
    const int64_t its = packet(number).frame();
    if (its == frame) return number;
    if (its > frame && (found < 0 || its < packet(found).frame())) found = number;
  }
  if (found >= 0) return found;
  throw Error(concat("the index of this video is damaged: it has no packet for frame ", frame), exit_code::kData);
}

bool Track::starts(int64_t key, int64_t number) const {
  const PacketRecord& from = packet(key);
  return from.key() && from.rank != kNoRank && from.rank <= packet(number).rank;
}

int64_t Track::start_for(int64_t number) const {
  int64_t key = number;
  while (key > 0 && !starts(key, number)) --key;
  return key;
}

int64_t Track::key_before(int64_t start) const {
  int64_t key = std::max<int64_t>(start - 1, 0);
  while (key > 0 && !packet(key).key()) --key;
  return key;
}

int64_t Track::find(int64_t pts, int32_t bytes) const {
  int64_t found = -1;
  for (int64_t number = 0; number < std::ssize(pts_); ++number) {
    if (pts_[static_cast<size_t>(number)] != pts || packet(number).bytes != static_cast<uint32_t>(bytes)) continue;
    if (found >= 0) return -1;
    found = number;
  }
  return found;
}

}  // namespace engine::av
