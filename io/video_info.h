// Internal to io/: fills VideoInfo.
#pragma once

#include "io/packet_reader.h"
#include "io/video.h"

struct AVFrame;
struct AVStream;

namespace engine::av {

// What the stream's header and the list of packets tell.
void describe(const AVStream& stream, const PacketList& list, VideoInfo& info);
// What a decoded picture tells, which headers do not always.
void describe(const AVFrame& picture, VideoInfo& info);

}  // namespace engine::av
