// The part of a video that a data set names as a clip.
#pragma once

#include "io/dataset.h"
#include "io/frame_source.h"
#include "io/video_index.h"

namespace engine {

// `source` itself where the sample is a whole video; else a source of the frames shown from Sample::begin to
// Sample::end seconds (the frame that is on the screen at `begin` is the first), numbered from 0. Throws kData when
// `source` knows no times, as folders of images and decoded clips, or ends before `begin`.
std::unique_ptr<FrameSource> trimmed(std::unique_ptr<FrameSource> source, const Sample& sample);

// The clip that a sample is. Throws as open_frames() and trimmed().
std::unique_ptr<FrameSource> open_clip(const Sample& sample, const VideoIndex* index = nullptr,
                                       const SourceOptions& options = {});

}  // namespace engine
