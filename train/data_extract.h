// engine_data extract: frames as image files.
#pragma once

#include "train/data_export.h"

namespace engine {

// Writes frame i of every clip as NAME/00000(i+1).png, which decodes to the very bytes that training would get of it at
// that size, or .jpg. A set with labels can be trained on as it is, clip by clip a folder of images. `format` is "png"
// or "jpg". As export_clips().
int extract_frames(const ExportOptions& options, const std::string& format);

Subcommand declare_data_extract(CLI::App& program);

}  // namespace engine
