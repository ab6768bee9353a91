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

enum class LabelColumn { one, several, none };

// Lines `path label`, split at the last blank, tab or comma; or, with several labels, lines `path label,label,...`,
// split at the last blank or tab. Either part may stand in double quotes, where a doubled quote means one: labels with
// blanks are `path "swipe left,wave"`, none at all `path ""`. Blank lines and lines that start with # are left out; a
// byte order mark and CR LF are understood. Throws kNoInput when the file cannot be read, kData as `file:line: why` for
// a line that is not like this; where `problems` are given, these get the sentence, and the line is left out. With no
// label the whole line is the path. `comment` is what comments start with; 0: there are none.
std::vector<ListEntry> read_list(const std::string& file, LabelColumn column = LabelColumn::one,
                                 std::vector<std::string>* problems = nullptr, char comment = '#');

// True for names that end in .txt, .csv, .tsv or .list.
bool is_list_name(const std::string& name);

// The clips of a list whose labels do not matter: paths alone, or with labels, which are left out. A path is that of an
// existing file or folder where a line can be read so; relative paths are relative to the folder of the list.
std::vector<std::string> read_paths(const std::string& file);

// One class name a line, in the order of the labels; the same rules for blank lines, comments and line ends. Throws
// kData for a name that occurs twice.
std::vector<std::string> read_classes(const std::string& file);

// Lines of cells, the first one naming the columns.
struct TextTable {
  struct Row {
    std::vector<std::string> cells;  // as many as columns
    int line = 0;
  };
  std::vector<std::string> columns;
  std::vector<Row> rows;
  // Where a column of this name is; -1 when there is none.
  int64_t column(const std::string& name) const;
};

// Cells separated by tabs where the first line has one, else by commas; double quotes, line ends and byte order marks
// as in lists. Throws kNoInput when the file cannot be read, kData when it has no first line or a line has too many
// cells.
TextTable read_table(const std::string& file);

// `text` as lists and classes.txt may hold it: in double quotes where it has to be.
std::string quoted_for_list(const std::string& text);

}  // namespace engine
