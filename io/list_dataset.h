// A list file as a data set.
#pragma once

#include "io/dataset.h"

namespace engine {

// The clips that a list names (io/list_file.h), with their labels as the head reads them. `names` are those of the
// classes, labels or targets. Where it is empty the list fills it: with the names in it, sorted, or with the numbers up
// to the largest one; for regression with "target", or "target 0", "target 1", ... where there are several. Throws as
// read_list(), and kData as `file:line: why` for labels that the head or the names do not allow; where `problems` are
// given, these get the sentence, and the line is left out.
//
// Where there is no file of the whole name, a path may end in the part of the video that is the clip, as a media
// fragment (W3C Media Fragments URI 1.0, 4.2.1): clip.mp4#t=10,20.5 in seconds; and a folder of images may be followed
// by the number of its frames (lines `folder frames label`), which is not used.
Dataset read_list_dataset(const std::string& file, Head head, std::vector<std::string>& names,
                          std::vector<std::string>* problems = nullptr);

}  // namespace engine
