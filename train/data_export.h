// Puts what is made of every clip of a data set into a folder that is a data set, too. For engine_data extract and
// shard.
#pragma once

#include <filesystem>
#include <optional>

#include "io/frame_source.h"
#include "train/data_tools.h"

namespace engine {

struct ExportOptions {
  DataChoice data;
  std::string out;
  FrameSize size;       // 0 x 0: that of each clip
  int64_t frames = 0;   // spread evenly over the clip, as those of a training clip; 0: all
  std::string numbers;  // or these: "0,5,10-20"
  std::string ending;   // of files, for example ".frames"; empty: a folder for each clip
  bool force = false;
};

// Declares all of it but the ending.
void declare_export(CLI::App& command, ExportOptions& options);
// Declares --size alone: "64" or "320x240".
void declare_size(CLI::App& command, FrameSize& size);

// The numbers in "0,5,10-20"; throws kUsage for anything else.
std::vector<int64_t> parse_numbers(const std::string& text);

// The frames of a clip of `count` frames that are asked for. Throws kData when one of `numbers` is not there.
std::vector<int64_t> chosen_frames(const ExportOptions& options, int64_t count);

// Calls write(source, place) for every clip, in several threads: OUT/CLASS/NAME, or OUT/clips/NAME for heads without
// classes, OUT/NAME where there are no labels; names that would be there twice get -2, -3, ... Then writes the lists
// (data_lists.h) where there are labels. Clips that cannot be read are told on stderr, and left out; then the result is
// kData. The folder must be new or empty; with `force` it may hold earlier lists and clips, which are replaced.
int export_clips(const ExportOptions& options,
                 const std::function<void(FrameSource& source, const std::filesystem::path& place)>& write);

}  // namespace engine
