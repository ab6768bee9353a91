// Clips that are in a data set more than once, above all in two parts, where they make figures better than they are.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "train/data_tools.h"

namespace engine {

// Two clips, the later one first.
struct Repeat {
  enum class Kind { path, bytes, group } kind;
  Clip clip, earlier;
  bool leaks() const { return clip.part != earlier.part; }
};

// Every clip that repeats an earlier one: the same file (and part of it), another file with the same bytes, or the same
// group in another part (told once for each group and part). Files are read only where sizes are equal, in full only
// where beginning and end are equal, too. With `leaks_only` repeats within a part are not looked for.
std::vector<Repeat> find_repeats(const std::vector<Clip>& clips, bool leaks_only);

// One line for the user about clips in two parts; empty where there is none.
std::string leak_warning(const Splits& splits, const std::string& path);

}  // namespace engine
