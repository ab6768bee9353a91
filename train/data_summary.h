// What is in a data set, for engine_data check.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "train/data_inspect.h"
#include "train/data_tools.h"

namespace engine {

struct Summary {
  using Counts = std::map<std::string, size_t>;
  // What is odd about some videos, and does no harm.
  struct Note {
    size_t videos = 0;
    std::string first;  // which, and in what way: "a.mp4 (yuva420p)"
  };

  size_t clips = 0, videos = 0;          // that can be read
  std::map<std::string, Counts> counts;  // of "size", "fps", ...
  std::map<std::string, Note> notes;     // by what they say: "interlaced (used as they are)"
  std::vector<double> frames, seconds;
};

// `facts`: those of `clips`.
Summary summarize(const std::vector<Clip>& clips, const std::vector<ClipFacts>& facts);

// Lines that start with a word in a column of 11.
std::string to_text(const Summary& summary);
std::string summary_row(const std::string& title, const std::string& value);
// "h264 (100), vp9 (3)", the most frequent first.
std::string to_text(const Summary::Counts& counts, size_t most = 6);

}  // namespace engine
