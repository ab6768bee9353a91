// From a path to labelled clips: folders per class, lists, known split layouts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace engine {

// What is learnt of a clip, and so how the labels in a list are read.
enum class Head {
  classification,  // one class: a number from 0, or a name
  regression,      // numbers, separated by commas, as many in every line
  multilabel,      // any number of labels, like classes, separated by commas
};

struct Sample {
  std::string path;   // a video file, or a folder of images
  int64_t label = 0;  // classification: index into Dataset::classes
  std::string name;   // shown to users: relative to the folder or as the list has it, safe to print
  int line = 0;       // of the list; 0 otherwise
  // In the order of Dataset::classes. regression: the numbers; multilabel: 1 for a label that the clip has, else 0.
  std::vector<double> targets{};
  double begin = 0,
         end = 0;       // the part of the video that is the clip, in seconds from its first frame; end 0: the rest
  std::string group{};  // who or what it shows; clips of one group belong in one part. Empty: not known
};

struct Dataset {
  std::vector<Sample> samples;
  std::vector<std::string> classes;  // names of classes, targets or labels; the same in all parts of one data set
  std::string source;  // the folder or list that the samples come from; where samples have a line, its file
  Head head = Head::classification;
};

struct Splits {
  Dataset train, val, test;  // val and test may be empty
  std::string how;           // one sentence for the user: where the parts come from
};

struct SplitOptions {
  double val_fraction = 0.2;  // of train, when there is no validation part; 0 for none
  uint64_t seed = 0;
  Head head = Head::classification;
  // Instead of what is found at the path; paths in a list are relative to the folder of the list.
  std::string train_list = {}, val_list = {}, test_list = {}, classes_file = {};
  int split_number = 0;  // of data sets that come with several (io/known_splits.h); 0: the first
  // Where given, lines and folders that cannot be used are left out and told here, one sentence each; clips are not
  // looked for, not compared, and no validation part is split off. For who wants to know all that is wrong.
  std::vector<std::string>* problems = nullptr;
};

// True for names that end as those of video files do, or of decoded clips (io/decoded_clip.h).
bool is_video_name(const std::string& name);

// True for names that end as PNG or JPEG images do, and do not start with a dot.
bool is_image_name(const std::string& name);

// The paths of the videos and folders of images below a folder, sorted; hidden ones are left out. Throws kNoInput when
// a folder cannot be read.
std::vector<std::string> find_clips(const std::string& folder);

// `path` may be
//   a well-known data set with its own split files (io/known_splits.h);
//   a folder with a folder per class, holding videos or folders of images;
//   a folder with such folders under train/ and val/ (or valid/, validation/) or test/;
//   a folder with train.txt and, if wanted, val.txt, test.txt, classes.txt;
//   a list. Lines are `path label` (see list_file.h, and Head); classes.txt holds the names of classes, labels or
//   targets.
// Classes of folders are sorted by name. Without a validation part a seeded share of every class (other heads: of all
// clips) is taken from train, never from test; every class keeps at least one clip in train, and where groups are known
// (names such as UCF101's v_Diving_g01_c03 tell them) no group is in both parts. Hidden files are left out,
// and in class folders files whose names do not end as those of videos do.
// Throws kNoInput when `path` or clips are missing (how many, and the first), kData when the data cannot be used: fewer
// than two classes, a class name that is not UTF-8, a label out of range, a clip listed twice or in two parts; kUsage
// for options out of range, and for folders of classes where the head is another than classification.
Splits open_splits(const std::string& path, const SplitOptions& options = {});

}  // namespace engine
