// engine_data check: what is wrong with a data set, and what is in it.
#pragma once

#include "train/data_inspect.h"
#include "train/data_tools.h"

namespace engine {

struct DataCheckOptions {
  DataChoice data;
  std::string groups;  // as DataSplitOptions::groups
  bool deep = false;   // decode everything
  bool json = false;
  int frames = 16;  // of the clips that will be trained on
  int size = 112;   // and their sides
};

struct Problem {
  std::string kind;   // "missing", "unreadable", "empty", "no video", "audio only", "cut off", "damaged", "corrupt",
                      // "encrypted", "too large", "unsupported", "changed", "slow", "late start", "short",
                      // "unlabelled", "duplicate", "leak", "broken list"
  std::string where;  // the clip, with its list and line
  std::string why, advice;
  bool serious = true;  // makes the data unusable as they are
};

// Everything that is wrong, in the order of the clips; `problems` are what open_data() left out, `facts` those of
// clips_of(splits), got with `deep` or without.
std::vector<Problem> find_problems(const Splits& splits, const std::vector<std::string>& problems,
                                   const std::vector<ClipFacts>& facts, int frames, bool deep);

// Prints a line for each problem and a summary on stdout, or one JSON object. Returns kOk, or kData where a problem is
// serious. Throws as open_data() where there is nothing to check.
int check_data(const DataCheckOptions& options);

Subcommand declare_data_check(CLI::App& program);

}  // namespace engine
