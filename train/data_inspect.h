// What engine_data check knows of one clip's file.
#pragma once

#include <string>

#include "io/dataset.h"
#include "io/video.h"

namespace engine {

struct ClipFacts {
  std::string error;  // why it cannot be read; empty where it can
  int code = 0;       // of the error
  int64_t bytes = 0;
  bool is_video = false;  // else a decoded clip or a folder of images
  VideoInfo info;         // of a video
  FrameSize size;
  int64_t frames = 0;   // of the clip, where it is a part of a video
  double seconds = 0;   // the same, of videos; from the first frame to the last
  std::string cut_off;  // "only 128 of 234 frames are there", or empty
  // By decoding: of the first picture, or with `deep` of all.
  int64_t damaged = 0;  // pictures in which the decoder reports errors
  int64_t lost = 0;     // frames listed that no picture came for (deep)
};

// Opens the clip and decodes its first picture, or with `deep` all. Nothing that is wrong with the file is thrown.
ClipFacts inspect(const Sample& sample, bool deep);

}  // namespace engine
