// Writes data sets as lists: train.txt, val.txt, test.txt and classes.txt.
#pragma once

#include <array>
#include <filesystem>
#include <string_view>
#include <vector>

#include "io/dataset.h"

namespace engine {

inline constexpr std::string_view kMadeHere = "# made by engine_data\n";  // the first line of lists

// Makes the folder where it is missing. Throws kUsage when it holds one of the lists and not `force`, or, with it, one
// that was not made by engine_data; kStorage when it cannot be made.
void prepare_for_lists(const std::filesystem::path& out, bool force);

struct ListedClip {
  std::filesystem::path path;
  const Sample* sample;  // for its label, and for the part of the video where it is one
};
// Parts without clips get no list, and an earlier one is taken away. Paths are relative to `out` for clips below it or
// below the folder that it lies in, else absolute; labels are numbers that count the lines of classes.txt. `format`
// tells the classes and the head. Throws kData for names that a list cannot hold, kStorage when writing fails.
void write_lists(const std::filesystem::path& out, const std::array<std::vector<ListedClip>, 3>& parts,
                 const Dataset& format);

}  // namespace engine
