// Internal to io/: the packets of a video, numbered from 0 in the order of decoding. A packet's number is its identity
// everywhere: it goes through the decoder in place of the time stamp and comes out with the picture, so that missing,
// repeated or backward time stamps cannot confuse frames.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/av.h"
#include "io/demuxer.h"

namespace engine::av {

// What reading a file once, without decoding, tells about it.
struct PacketList {
  struct Packet {
    int64_t pts, dts;  // in the stream's time base; INT64_MIN where there is none
    int32_t bytes;
    bool key;            // decoding may start here
    bool shown;          // gives a frame; not so for reference pictures and what an edit list cuts away
    int64_t frame = -1;  // the number of that frame
  };
  std::vector<Packet> packets;
  std::vector<int64_t> frames;  // the packet of each frame, in the order of showing
  std::vector<double> times;    // of each frame, in seconds from the first
  // Time stamps tell the order of showing. Where they do not, frames is empty until order_frames() is called.
  bool ordered = false;
  int reorder_depth = 0;  // by how many pictures the order of decoding differs from that of showing, at most

  // Takes the order of showing from a decoder: the packets of all pictures, as they came out.
  void order_frames(std::vector<int64_t> shown, double seconds_per_tick, double fps);
  // The nearest packet that decoding may start from to get the frame of packet `number`: the last key packet before it
  // in both orders. Pictures that follow a key packet in the file but are shown before it refer to the one before.
  int64_t start_for(int64_t number) const;
  // The key packet before `start`; 0 when there is none.
  int64_t key_before(int64_t start) const;
  // The only packet with this time stamp and size; -1 when there is none or more than one.
  int64_t find(int64_t pts, int32_t bytes) const;

 private:
  bool starts(int64_t key, int64_t number) const;
};

class PacketReader {
 public:
  // Opens the file and lists its packets. Throws as Demuxer does, and kData when there is no packet at all.
  PacketReader(std::string path, const SourceOptions& options, Watch& watch);

  PacketList& list() { return list_; }
  const PacketList& list() const { return list_; }
  const Demuxer& demuxer() const { return *demuxer_; }

  // The next packet, with its number as its time stamp; false at the end.
  bool read(AVPacket& packet);
  // Makes packet `number` the next one.
  void go_to(int64_t number);

 private:
  void scan();
  void reopen();
  bool land(int64_t number);
  void pass_to(int64_t number);
  bool fetch(AVPacket& packet);

  std::string path_;
  SourceOptions options_;
  Watch& watch_;
  std::unique_ptr<Demuxer> demuxer_;
  PacketList list_;
  Owned<AVPacket> landed_;  // the first packet after a seek, when has_landed_
  bool has_landed_ = false;
  bool sought_ = false;   // since the file was opened
  bool may_seek_ = true;  // until a seek was found to give other packets than the scan did
  int64_t position_ = 0;
};

}  // namespace engine::av
