#include "train/data_shard.h"

#include <CLI/CLI.hpp>

#include "engine/tensor.h"
#include "io/decoded_clip.h"

namespace engine {
namespace {

constexpr const char* kExamples = R"(Examples:
  engine_data shard videos --out decoded --size 128x96 --frames 32
  engine_train decoded                                   also on a machine without FFmpeg
A clip takes width x height x frames x 3 bytes: 1.2 MB in the first example.)";

}  // namespace

int shard_clips(const ExportOptions& options) {
  return export_clips(options, [&](FrameSource& source, const std::filesystem::path& place) {
    const FrameSize size = options.size == FrameSize{} ? source.size() : options.size;
    const std::vector<int64_t> frames = chosen_frames(options, source.frame_count());
    const Tensor clip = Tensor::empty({std::ssize(frames), size.height, size.width, 3}, DType::u8);
    source.read_frames(frames, size, clip.values<uint8_t>());
    write_decoded_clip(place.string(), clip);
  });
}

Subcommand declare_data_shard(CLI::App& program) {
  CLI::App* command = program.add_subcommand("shard", "Stores clips decoded");
  command->footer(kExamples);
  const auto options = std::make_shared<ExportOptions>();
  options->ending = ".frames";
  declare_export(*command, *options);
  return {command, [options] { return shard_clips(*options); }};
}

}  // namespace engine
