// Text files that name clips and classes.
#pragma once

#include <string>
#include <vector>

namespace engine {

struct ListEntry {
  std::string path;   // as written
  std::string label;  // as written
  int line = 0;       // from 1
};

enum class LabelColumn { one, several };

// Lines `path label`, split at the last blank, tab or comma; or, with several labels, lines `path label,label,...`,
// split at the last blank or tab. Either part may stand in double quotes, where a doubled quote means one: labels with
// blanks are `path "swipe left,wave"`, none at all `path ""`. Blank lines and lines that start with # are left out; a
// byte order mark and CR LF are understood. Throws kNoInput when the file cannot be read, kData as `file:line: why` for
// a line that is not like this.
std::vector<ListEntry> read_list(const std::string& file, LabelColumn column = LabelColumn::one);

// One class name a line, in the order of the labels; the same rules for blank lines, comments and line ends. Throws
// kData for a name that occurs twice.
std::vector<std::string> read_classes(const std::string& file);

}  // namespace engine
