// The index of a video set (io/video_index.h): where it lies, and the command that makes it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/video_index.h"
#include "train/data_tools.h"
#include "train/progress.h"

namespace engine {

// The name of the index in a folder of videos; that of a list is the list's name and this.
inline constexpr const char* kIndexName = ".engine-index";

struct IndexPlace {
  std::string folder;  // what names are relative to: that of the videos, or of the list
  std::string read;    // the index that is there, or where it would be
  std::string write;   // where a new one goes
};
// `data` is a folder or a list. An index lies in the folder or beside the list; where that may not be written to, under
// $XDG_CACHE_HOME or ~/.cache in engine/.
IndexPlace index_place(const std::string& data);

// For programs that are about to read clips: brings the index of these videos up to date and tells on stderr, on one
// line, when there was something to do; on a terminal a bar shows how far it is. Where it cannot be kept it is used all
// the same, with a warning. None for fewer than two videos, and in a build that reads no videos.
std::shared_ptr<const VideoIndex> prepare_index(const std::string& data, const Splits& splits,
                                                ProgressMode mode = ProgressMode::automatic);

// The videos that belong to `data`: those in the folder and below it, those of the lists train.txt, val.txt and
// test.txt in it; or those of the list. Throws kNoInput when there are none.
std::vector<std::string> videos_of(const std::string& data);

// index: makes or renews the index, looking at every file thoroughly, and prints what is in it.
Subcommand declare_data_index(CLI::App& program);

}  // namespace engine
