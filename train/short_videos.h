// Videos that are shorter than a clip (io/clip.h), before they are read.
#pragma once

#include <string>

#include "io/clip.h"
#include "io/dataset.h"
#include "io/video_index.h"

namespace engine {

// Counts the short videos of all parts and gives a line that tells of them and of what becomes of them; empty when
// there are none. By `options.short_videos` skip: leaves them out of the parts; throws kData when none is left for
// training that had some. By error: throws kData that counts them and names the first. How long whole videos are comes
// from `index`. Parts of videos and what it does not know are opened for these two, and not counted otherwise; what
// cannot be opened is not short.
std::string settle_short_videos(Splits& splits, const ClipOptions& options, const VideoIndex* index);

}  // namespace engine
