// Internal to io/: fills VideoInfo.
#pragma once

#include "io/track.h"
#include "io/video.h"

struct AVFrame;

namespace engine::av {

// What the header tells of colours and interlacing.
void describe(const AVCodecParameters& parameters, VideoInfo& info);
// What a decoded picture tells, which headers do not always.
void describe(const AVFrame& picture, VideoInfo& info);

}  // namespace engine::av
