// What the subcommands of engine_data share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "train/cli.h"
#include "train/progress.h"

namespace engine {

// What a tool is to look at.
struct DataChoice {
  std::string path;
  Head head = Head::classification;
  int split_number = 0;
  int threads = 0;  // 0: one per core
};
// Declares DATA, --head, --split-number and --threads.
void declare_data(CLI::App& command, DataChoice& choice);

// The data set; or, where there are no labels, every video in the folder or list, or the one video, as the training
// part of a set without classes; `how` tells which. Throws as open_splits(); `problems` as there.
Splits open_data(const DataChoice& choice, std::vector<std::string>* problems = nullptr);

// A clip of one of the parts, "train", "val" or "test".
struct Clip {
  const Dataset* part;
  const Sample* sample;
  const char* part_name;
};
std::vector<Clip> clips_of(const Splits& splits);
// "list.txt:3: a.mp4" where the clip comes from a list, else its name.
std::string place_of(const Clip& clip);

// How far work on many clips is, on stderr.
class Bar {
 public:
  explicit Bar(const std::string& label);  // on a terminal only
  Bar(const std::string& label, ProgressMode mode);
  // False once a signal asked to stop.
  bool operator()(int64_t done, int64_t total);

 private:
  std::string label_;
  Progress progress_;
};

// Runs work(0) .. work(count - 1) on several threads, in order of start, with a bar. Throws the first exception of
// `work`, and where a signal comes an Error that tells how many of `what` are done.
void for_each(size_t count, int threads, const std::string& what, const std::function<void(size_t)>& work);

// For messages: "1 clip", "2 clips".
std::string counted(size_t count, const std::string& noun);

}  // namespace engine
