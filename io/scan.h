// Internal to io/: reading a video file once, to know its packets.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "io/demuxer.h"
#include "io/track.h"

namespace engine::av {

// Reads all packets of `demuxer`, which was just opened, without decoding; only where time stamps do not order the
// frames everything is decoded once, from a demuxer of its own, and where the stream starts without a key picture its
// start. `prove`: also compares every packet with the bytes at
// its place in the file, without which no track is direct. Throws kData when there is no packet or no frame at all, or
// over kMaxPackets.
Track scan_track(Demuxer& demuxer, const std::string& path, const SourceOptions& options, Watch& watch, bool prove);

// The same of a file that is opened for it, with proof.
Track scan_file(const std::string& path, const SourceOptions& options);

// Of FFmpeg's libraries; what a scan finds depends on them.
std::array<uint32_t, 2> library_versions();

}  // namespace engine::av
