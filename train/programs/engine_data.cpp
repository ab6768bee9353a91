// Makes video sets and works on those that are there.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "engine/tensor.h"
#include "train/cli.h"
#include "train/data_browse.h"
#include "train/data_check.h"
#include "train/data_extract.h"
#include "train/data_index.h"
#include "train/data_make.h"
#include "train/data_shard.h"
#include "train/data_split.h"
#include "train/data_stats.h"
#include "train/options.h"
#include "train/signals.h"

namespace engine {
namespace {

constexpr const char* kAllExamples = R"(Examples:
  engine_data check videos                          what is wrong with a data set, and what is in it
  engine_data split videos --out lists              parts for training, validation and testing, as lists
  engine_data index videos                          look at every video once; training does the same when it starts
  engine_data stats videos                          mean and deviation of pixels, lengths of videos
  engine_data extract new.mp4 --out frames          frames as images
  engine_data browse videos --out sheet.png         clips as training sees them
  engine_data shard videos --out decoded            clips decoded once, for training without FFmpeg
  engine_data make demo/scenes                      a synthetic set; engine_data make --help tells of others)";

constexpr const char* kExamples = R"(Examples:
  engine_data make demo/scenes                      600 training and 200 test clips of 10 kinds of scenes
  engine_data make demo/motion --kind motion        the same of 10 motions, which no single frame tells apart
  engine_data make demo/speed --kind speed          clips with a number each, for engine_train --head regression
  engine_data make demo/pairs --kind pairs          clips with two labels each, for engine_train --head multilabel
  engine_data make demo/big --size 128x96 --frames 32 --train 200 --seed 7)";

FrameSize parse_size(const std::string& text) {
  const std::optional<FrameSize> size = parse_frame_size(text);
  if (size) return *size;
  throw Error(fmt::format("--size {}: give one number, or WIDTHxHEIGHT such as 320x240; even, 16 to 4096", text),
              exit_code::kUsage);
}

SyntheticKind parse_kind(const std::string& text) {
  const std::vector<std::string> names = {"scenes", "motion", "speed", "pairs"};  // in the order of SyntheticKind
  const auto found = std::ranges::find(names, text);
  if (found != names.end()) return static_cast<SyntheticKind>(found - names.begin());
  throw Error(fmt::format("--kind {}: no such kind{} (kinds: {})", text, did_you_mean(text, names), joined(names)),
              exit_code::kUsage);
}

int make(const DataMakeOptions& options, const std::string& kind) {
  const StopSignals signals;
  const int classes = static_cast<int>(synthetic_classes(options.kind).size());
  const int total = (options.train + options.test) * classes;
  Bar bar("Making");
  const int made = make_data(options, std::ref(bar));
  if (made < total) {
    throw Error(fmt::format("stopped with {} of {} clips in {}; run it again with --force to make all of them", made,
                            total, options.out.string()),
                stop_exit_code(StopSignals::received()));
  }
  const Head head = head_for(options.kind);
  const char* const ending = head == Head::classification ? "" : ".txt";
  for (const auto& [set, clips] : {std::pair{"train", options.train}, {"test", options.test}})
    fmt::print("{}{}\t{} clips\t{} {}\n", (options.out / set).string(), ending, clips * classes, classes,
               output_word(head, classes > 1));
  fmt::print(stderr, "Made clips of {}, {}x{}, {} frames at {} a second, seed {}\n", kind, options.width,
             options.height, options.frames, options.fps, options.seed);
  const bool moves = options.kind == SyntheticKind::motion || options.kind == SyntheticKind::speed;
  fmt::print(stderr, "Next: engine_train {} --model sora-cnn{}{}\n", options.out.string(),
             moves ? " --input rgb+diff" : "", head == Head::classification ? "" : " --head " + name_of(head));
  return exit_code::kOk;
}

int body(int argc, char** argv) {
  CLI::App app("Makes, checks and prepares sets of videos.", "engine_data");
  app.footer(kAllExamples);
  app.require_subcommand(1);
  const Subcommand commands[] = {declare_data_check(app), declare_data_index(app),   declare_data_split(app),
                                 declare_data_stats(app), declare_data_extract(app), declare_data_browse(app),
                                 declare_data_shard(app)};
  CLI::App& command = *app.add_subcommand("make", "Makes a synthetic video set");
  command.footer(kExamples);

  DataMakeOptions options;
  int64_t seed = 0;
  std::string out, kind = "scenes", size = "64";
  command.add_option("OUT", out, "Folder for the set: OUT/train/CLASS/0000.mp4, OUT/test/CLASS/0000.mp4")->required();
  command
      .add_option(
          "--kind", kind,
          "scenes (a frame tells the class), motion (only the movement does), speed (a number to learn: how fast "
          "something moves, in widths of the picture a second) or pairs (two of the classes of scenes in every "
          "clip); the last two come with lists")
      ->capture_default_str();
  CLI::Option* train =
      command.add_option("--train", options.train, "Training clips per class (default 60; of speed 600)");
  CLI::Option* test = command.add_option("--test", options.test, "Test clips per class (default 20; of speed 200)");
  command.add_option("--size", size, "Pixels; one number: both sides; even")
      ->type_name("WIDTHxHEIGHT")
      ->capture_default_str();
  command.add_option("--frames", options.frames, "Frames per clip")->capture_default_str();
  command.add_option("--fps", options.fps, "Frames per second")->capture_default_str();
  command.add_option("--seed", seed, "Another seed, another set")->capture_default_str();
  command.add_option("--threads", options.threads, "Clips made at a time; 0: one per core")->capture_default_str();
  command.add_flag("--decoded", options.decoded, "Store the clips decoded, as .frames files, which takes no FFmpeg");
  command.add_flag("--force", options.force, "Replace the clips that an earlier make left in OUT");
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  for (const Subcommand& each : commands)
    if (each.app->parsed()) return each.run();

  if (seed < 0) throw Error(fmt::format("--seed {} makes no sense; give 0 or more", seed), exit_code::kUsage);
  options.seed = static_cast<uint64_t>(seed);
  options.out = out;
  options.kind = parse_kind(kind);
  if (options.kind == SyntheticKind::speed) {  // which has one class, and others ten
    if (train->empty()) options.train *= 10;
    if (test->empty()) options.test *= 10;
  }
  const auto [width, height] = parse_size(size);
  options.width = width;
  options.height = height;
  return make(options, kind);
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) { return engine::run_program("engine_data", argc, argv, engine::body); }
