// Internal to io/: the packets of a track, from its file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/av.h"
#include "io/demuxer.h"
#include "io/descriptor.h"
#include "io/track.h"

namespace engine::av {

class PacketSource {
 public:
  virtual ~PacketSource() = default;
  // The next packet, with its number as its time stamp; false at the end. Throws kData when the file holds another one.
  virtual bool read(AVPacket& packet) = 0;
  // Makes packet `number` the next one. Those up to `last` will probably be read.
  virtual void go_to(int64_t number, int64_t last) = 0;
  // Passes over the next packet.
  virtual void pass() = 0;
};

// With the demuxer.
class PacketReader final : public PacketSource {
 public:
  // `track` and `watch` must outlive the reader. `demuxer`: one that has been read to the end, or none.
  PacketReader(std::string path, const SourceOptions& options, Watch& watch, const Track& track,
               std::unique_ptr<Demuxer> demuxer);

  bool read(AVPacket& packet) override;
  void go_to(int64_t number, int64_t last) override;
  void pass() override { read(*passed_); }

 private:
  void reopen();
  bool land(int64_t number);
  void pass_to(int64_t number);
  bool fetch(AVPacket& packet);

  std::string path_;
  SourceOptions options_;
  Watch& watch_;
  const Track& track_;
  std::unique_ptr<Demuxer> demuxer_;
  Owned<AVPacket> passed_;
  Owned<AVPacket> landed_;  // the first packet after a seek, when has_landed_
  bool has_landed_ = false;
  bool sought_ = false;   // since the file was opened
  bool may_seek_ = true;  // until a seek was found to give other packets than the scan did
  int64_t position_ = 0;
};

// Straight from their places in the file, for tracks that are direct(): many packets at a time, without a demuxer.
class DirectPackets final : public PacketSource {
 public:
  // `file`: the video. `track` must outlive this.
  DirectPackets(std::string path, const Track& track, Descriptor file)
      : path_(std::move(path)), track_(track), file_(std::move(file)) {}

  bool read(AVPacket& packet) override;
  void go_to(int64_t number, int64_t last) override {
    position_ = number;
    last_ = last;
  }
  void pass() override { ++position_; }

 private:
  void load();

  std::string path_;
  const Track& track_;
  Descriptor file_;
  std::vector<uint8_t> buffer_;
  int64_t begin_ = 0;  // of the buffer's bytes in the file
  int64_t position_ = 0, last_ = 0;
};

}  // namespace engine::av
