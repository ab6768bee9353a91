// engine_data split: parts for training, validation and testing, drawn once and written as lists.
#pragma once

#include "train/data_tools.h"

namespace engine {

struct DataSplitOptions {
  DataChoice data;
  std::string out;
  double val = 0.1, test = 0.2;  // shares of all clips
  uint64_t seed = 1;
  std::string groups;  // a regular expression, or TABLE:COLUMN; empty: those that are known
  bool force = false;
};

// Puts the parts of a data set together and draws new ones (io/stratify.h), and writes them as lists with paths to the
// clips where they are. Groups are, for every clip, what the first parenthesis of the regular expression (ECMAScript)
// matches in its name, or the whole match; or the cell of a column in the line of a table (read_table()) whose first
// cell is the clip's path, relative to the table. Throws kUsage for options that make no sense, a clip without a group,
// and a set without labels; as open_data() and prepare_for_lists().
int split_data(const DataSplitOptions& options);

// Gives every clip its group, as above; those that are known stay where `groups` is empty.
void set_groups(const std::string& groups, std::vector<Sample>& samples);

Subcommand declare_data_split(CLI::App& program);

}  // namespace engine
