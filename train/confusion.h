// Who is taken for whom, as a file.
#pragma once

#include <string>
#include <vector>

#include "train/heat_strip.h"
#include "train/metrics.h"

namespace engine {

// RFC 4180: the first line has an empty cell and the names, as predictions; the others a label's name and its counts.
std::string confusion_csv(const Evaluation& evaluation, const std::vector<std::string>& names);

// Rows: labels; columns: predictions, numbered. A cell's colour is heat_color() of its part of the row; with counts
// where there is room.
RgbImage confusion_picture(const Evaluation& evaluation, const std::vector<std::string>& names);

// Either of them, as the path's ending says: .csv or .png. Throws Error: kUsage for another ending, kStorage when
// writing fails.
void write_confusion(const std::string& path, const Evaluation& evaluation, const std::vector<std::string>& names);
void check_confusion_path(const std::string& path);

}  // namespace engine
