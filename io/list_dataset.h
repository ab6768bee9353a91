// A list file as a data set.
#pragma once

#include "io/dataset.h"

namespace engine {

// The clips that a list names (io/list_file.h), with their labels as the head reads them. `names` are those of the
// classes, labels or targets. Where it is empty the list fills it: with the names in it, sorted, or with the numbers up
// to the largest one; for regression with "target", or "target 0", "target 1", ... where there are several. Throws as
// read_list(), and kData as `file:line: why` for labels that the head or the names do not allow.
Dataset read_list_dataset(const std::string& file, Head head, std::vector<std::string>& names);

}  // namespace engine
