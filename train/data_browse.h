// engine_data browse: clips as training sees them, on one picture.
#pragma once

#include "train/data_tools.h"

namespace engine {

// Declares `engine_data browse DATA --out sheet.png` with all the options that engine_train has for data, clips and
// augmentation, and -c for its files. A row for each clip, drawn by seed from all classes in turn: its class and name,
// and its frames in order with their numbers in the video. `--plain` shows them as in evaluation, with nothing drawn.
Subcommand declare_data_browse(CLI::App& program);

}  // namespace engine
