#include "io/packet_reader.h"

#include <algorithm>
#include <cstring>

#include "io/source_error.h"
#include "io/stages.h"
#include "io/text.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

namespace engine::av {
namespace {

constexpr int64_t kNear = 32;  // packets that are cheaper to read over than to seek past

[[noreturn]] void refuse_changed(const std::string& path) {
  throw SourceError(SourceFault::changed, concat(escaped(path), ": the file changed while it was read"));
}

}  // namespace

PacketReader::PacketReader(std::string path, const SourceOptions& options, Watch& watch, const Track& track,
                           std::unique_ptr<Demuxer> demuxer)
    : path_(std::move(path)),
      options_(options),
      watch_(watch),
      track_(track),
      demuxer_(std::move(demuxer)),
      passed_(make_packet()),
      landed_(make_packet()),
      position_(track.packets()) {}

void PacketReader::reopen() {
  demuxer_ = std::make_unique<Demuxer>(path_, options_, watch_);
  position_ = 0;
  has_landed_ = sought_ = false;
}

// Seeks to packet `number` or one before it. The container decides where that ends, so the packet found is looked up.
bool PacketReader::land(int64_t number) {
  if (!demuxer_) demuxer_ = std::make_unique<Demuxer>(path_, options_, watch_);
  const std::string container = demuxer_->container();
  const bool by_decoding_time = container == "mpegts" || container == "mpeg";
  const int64_t stamp = (by_decoding_time ? track_.dts() : track_.pts())[static_cast<size_t>(number)];
  if (!may_seek_ || stamp == AV_NOPTS_VALUE) return false;
  has_landed_ = false;
  sought_ = true;
  if (!demuxer_->seek(stamp) || !demuxer_->read(*landed_)) return false;
  const int64_t found = track_.find(landed_->pts, landed_->size);
  if (found < 0 || found > number) return false;
  position_ = found;
  has_landed_ = true;
  return true;
}

void PacketReader::go_to(int64_t number, int64_t) {
  const StageTimer timer(Stage::read);
  const bool ahead = demuxer_ && position_ <= number && number - position_ <= kNear;
  if (!ahead && !land(number)) reopen();
  pass_to(number);
}

void PacketReader::pass_to(int64_t number) {
  while (position_ < number && read(*passed_)) {
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
  return demuxer_->read(packet) && static_cast<uint32_t>(packet.size) == track_.packet(position_).bytes;
}

bool PacketReader::read(AVPacket& packet) {
  const StageTimer timer(Stage::read);
  if (position_ == track_.packets()) return false;
  bool same = fetch(packet);
  if (!same && sought_) {
    const int64_t number = position_;
    may_seek_ = false;
    reopen();
    pass_to(number);
    same = fetch(packet);
  }
  if (!same) refuse_changed(path_);
  packet.pts = position_++;
  packet.dts = AV_NOPTS_VALUE;
  return true;
}

// Reads the next packet and those behind it, as far as they will be wanted and lie close together.
void DirectPackets::load() {
  constexpr int64_t kFar = 64 * 1024;  // bytes between packets that are cheaper to read over than to read apart
  constexpr int64_t kMost = 4 << 20;   // bytes read at a time, unless one packet is larger
  begin_ = track_.packet(position_).position();
  int64_t end = begin_ + track_.packet(position_).bytes;
  for (int64_t number = position_ + 1; number <= std::min(last_, track_.packets() - 1); ++number) {
    const PacketRecord& record = track_.packet(number);
    if (record.bytes == 0) continue;
    const int64_t begin = record.position(), its_end = begin + record.bytes;
    if (begin < begin_ || begin > end + kFar || its_end - begin_ > kMost) break;
    end = std::max(end, its_end);
  }
  buffer_.resize(static_cast<size_t>(end - begin_));
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t count = retry([&] {
      return ::pread(file_.get(), buffer_.data() + done, buffer_.size() - done, begin_ + static_cast<int64_t>(done));
    });
    if (count < 0)
      throw SourceError(SourceFault::unreadable,
                        concat(escaped(path_), ": cannot be read (", std::strerror(errno), ")"));
    if (count == 0) refuse_changed(path_);
    done += static_cast<size_t>(count);
  }
}

bool DirectPackets::read(AVPacket& packet) {
  const StageTimer timer(Stage::read);
  if (position_ >= track_.packets()) return false;
  const PacketRecord& record = track_.packet(position_);
  av_packet_unref(&packet);
  if (record.bytes > 0) {
    const auto held = [&] {
      return record.position() >= begin_ && record.position() + record.bytes <= begin_ + std::ssize(buffer_);
    };
    if (!held()) load();
    if (av_new_packet(&packet, static_cast<int>(record.bytes)) < 0)
      throw Error(concat(escaped(path_), ": out of memory; use fewer --workers"), exit_code::kMemory);
    std::memcpy(packet.data, buffer_.data() + (record.position() - begin_), record.bytes);
  }
  packet.flags = record.library_flags;
  packet.pts = position_++;
  packet.dts = AV_NOPTS_VALUE;
  return true;
}

}  // namespace engine::av
