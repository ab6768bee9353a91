// engine_predict classify: what videos show, or when.
#pragma once

#include "train/predict.h"
#include "train/segments.h"

namespace engine {

struct ClassifyOptions {
  ModelChoice model;
  std::vector<std::string> paths;
  int64_t top = 1;               // of classes
  int64_t window = 0;            // steps from one window of a video to the next; 0: the video as a whole
  bool join = false;             // windows that say the same, to segments
  std::string format = "table";  // or "jsonl", "csv", "srt"
  std::string out;               // of subtitles: a folder for one file per video
  int64_t profile = 0;           // clips; 0: classify
  std::string trace;             // of the profile: a file to write; empty: none
};

// Prints what is said of every video, window or segment: the most probable classes, the numbers in the units of the
// data, or the labels whose probability is over kLabelThreshold ("-", or an empty cell, where there is none).
//   table  for people
//   jsonl  an object a line
//   csv    RFC 4180: a header, a line for every class, target or label that is told
//   srt    subtitles of the segments of windows that follow each other, or are `window` steps apart
// What cannot be read is told on stderr; the others go on. Returns kOk or the code of the first error. Throws Error
// (kUsage) for options that do not go together.
int classify_files(const ClassifyOptions& options);

// A cell of a CSV file, in double quotes where RFC 4180 wants them.
std::string csv_cell(const std::string& text);

Subcommand declare_classify(CLI::App& program);

}  // namespace engine
