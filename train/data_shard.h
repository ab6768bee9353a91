// engine_data shard: clips decoded once, for training that must not wait for a decoder or has none.
#pragma once

#include "train/data_export.h"

namespace engine {

// Writes every clip as CLASS/NAME.frames (io/decoded_clip.h), with lists. As export_clips().
int shard_clips(const ExportOptions& options);

Subcommand declare_data_shard(CLI::App& program);

}  // namespace engine
