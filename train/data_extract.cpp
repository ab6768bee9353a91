#include "train/data_extract.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "engine/tensor.h"
#include "io/image_writer.h"
#include "train/options.h"

namespace engine {
namespace {

constexpr const char* kExamples = R"(Examples:
  engine_data extract new.mp4 --out frames                     frames/000001.png, 000002.png, ...
  engine_data extract videos --out frames --frames 16 --size 128    a data set of folders of images
  engine_data extract new.mp4 --out frames --numbers 0,5,10-20 --format jpg)";

constexpr size_t kMostBytes = 64 << 20;  // of pictures in memory

}  // namespace

int extract_frames(const ExportOptions& options, const std::string& format) {
  return export_clips(options, [&](FrameSource& source, const std::filesystem::path& place) {
    const FrameSize size = options.size == FrameSize{} ? source.size() : options.size;
    const std::vector<int64_t> frames = chosen_frames(options, source.frame_count());
    std::filesystem::create_directories(place);
    const size_t at_once = std::max<size_t>(kMostBytes / size.bytes(), 1);
    std::vector<uint8_t> rgb;
    for (size_t begin = 0; begin < frames.size(); begin += at_once) {
      const auto some = std::span(frames).subspan(begin, std::min(at_once, frames.size() - begin));
      rgb.resize(some.size() * size.bytes());
      source.read_frames(some, size, rgb);
      for (size_t i = 0; i < some.size(); ++i)
        write_image((place / fmt::format("{:06}.{}", some[i] + 1, format)).string(),
                    std::span(rgb).subspan(i * size.bytes(), size.bytes()), size);
    }
  });
}

Subcommand declare_data_extract(CLI::App& program) {
  CLI::App* command = program.add_subcommand("extract", "Writes frames of videos as image files");
  command->footer(kExamples);
  struct All {
    ExportOptions options;
    std::string format = "png";
  };
  const auto all = std::make_shared<All>();
  declare_export(*command, all->options);
  command->add_option("--format", all->format, "png, without loss, or jpg")
      ->check(CLI::IsMember({"png", "jpg"}))
      ->capture_default_str();
  return {command, [all] { return extract_frames(all->options, all->format); }};
}

}  // namespace engine
