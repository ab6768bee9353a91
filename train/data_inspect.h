// What engine_data check knows of one clip's file.
#pragma once

#include <optional>
#include <string>

#include "io/dataset.h"
#include "io/source_error.h"
#include "io/video.h"

namespace engine {

struct ClipFacts {
  std::string error;                 // why it cannot be read; empty where it can
  int code = 0;                      // of the error
  std::optional<SourceFault> fault;  // what it is, where it says so
  bool is_file = false;              // else a folder
  int64_t bytes = 0;
  bool is_video = false;  // else a decoded clip or a folder of images
  VideoInfo info;         // of a video
  FrameSize size;
  int64_t frames = 0;  // of the clip, where it is a part of a video
  double seconds = 0;  // the same, of videos; from the first frame to the last
  // Frames a second, where the rate varies: by the longest and by the shortest step from frame to frame.
  double slowest = 0, fastest = 0;
  std::string cut_off;  // "only 128 of 234 frames are there", or empty
  // By decoding: of the first picture, or with `deep` of all.
  int64_t damaged = 0;     // pictures in which the decoder reports errors
  int64_t lost = 0;        // frames listed that no picture came for (deep)
  int64_t refused = 0;     // packets that the decoder took for damaged (deep)
  std::string damaged_at;  // where that is, in seconds: "2.0 s, 3.1 to 4.0 s"; not the end of what is cut off
};

// Opens the clip and decodes its first picture, or with `deep` all. Nothing that is wrong with the file is thrown.
ClipFacts inspect(const Sample& sample, bool deep);

}  // namespace engine
