// The loader's side of the comparison that bench/compare/loader.py makes.
//   engine_io_bench turns VIDEO...         does a part of the work whenever a line of stdin asks for it, and times it
//   engine_io_bench many FOLDER VIDEO...   makes a set of very many videos, and its index
//   engine_io_bench first-batch FOLDER     times the way to its first batch
#include <CLI/CLI.hpp>
#include <iostream>

#include "bench/io/loader_work.h"
#include "kernels/context.h"
#include "train/cli.h"

namespace engine::bench {
namespace {

// What a request is about; `work` of it gives a count, or an object with one.
json do_work(VideoWork& videos, const json& request) {
  const std::string pass = request.at("pass");
  const auto number = [&](const char* name, int64_t otherwise) { return request.value(name, otherwise); };
  const auto video = static_cast<size_t>(number("video", 0)), begin = static_cast<size_t>(number("begin", 0)),
             end = static_cast<size_t>(number("end", 1));
  const auto rounds = static_cast<int>(number("rounds", 5));
  if (pass == "decode") return videos.decode_all(video);
  if (pass == "clips") return videos.read_clips(begin, end, VideoWork::Through::index);
  if (pass == "clips, nothing left out") return videos.read_clips(begin, end, VideoWork::Through::whole_index);
  if (pass == "clips, no index") return videos.read_clips(begin, end, VideoWork::Through::scan);
  if (pass == "parts") return videos.parts(begin, end, rounds);
  if (pass == "convert") return videos.convert(begin, rounds, false);
  if (pass == "swscale") return videos.convert(begin, rounds, true);
  if (pass == "index") return videos.make_index();
  if (pass == "frames") return videos.write_frames(video, request.at("frames"), request.at("file"));
  if (pass == "loader")
    return run_loader(videos, {.workers = static_cast<int>(number("workers", 1)),
                               .batch = static_cast<int>(number("batch", 8)),
                               .clips = number("clips", 64),
                               .step_ms = request.value("step_ms", 0.0),
                               .epochs = static_cast<int>(number("epochs", 1))});
  throw Error("no pass is called " + pass, exit_code::kUsage);
}

int take_turns(const std::vector<std::string>& paths, const WorkOptions& options) {
  set_cpu_threads(1);  // as in a loader's worker
  VideoWork videos(paths, options);
  std::cout << videos.describe() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    json answer;
    try {
      const json request = json::parse(line);
      const double cpu = cpu_seconds(), wall = wall_seconds();
      const json done = do_work(videos, request);
      answer = done.is_object() ? done : json{{"count", done}};
      answer["ms"] = 1e3 * (wall_seconds() - wall);
      answer["cpu_ms"] = 1e3 * (cpu_seconds() - cpu);
    } catch (const std::exception& error) {  // the others still count
      answer = {{"error", error.what()}};
    }
    std::cout << answer << std::endl;
  }
  return exit_code::kOk;
}

int body(int argc, char** argv) {
  CLI::App app("Times what reading clips of videos takes; one JSON object a line.", "engine_io_bench");
  app.require_subcommand(1);
  WorkOptions options;
  LoaderWork loading{.workers = 2};
  std::vector<std::string> videos;
  std::string folder;
  int64_t count = 100'000;
  CLI::App* turns = app.add_subcommand("turns", "Do what lines of stdin ask for");
  turns->add_option("VIDEO", videos)->required();
  turns->add_option("--clips", options.clips, "Clips drawn")->check(CLI::Range(1, 100000));
  CLI::App* many = app.add_subcommand("many", "Make a set of very many videos, and its index");
  many->add_option("FOLDER", folder)->required();
  many->add_option("VIDEO", videos, "Two or more; a file system allows only so many links to one")->required();
  many->add_option("--count", count, "Videos")->check(CLI::Range(1, 10'000'000));
  CLI::App* first = app.add_subcommand("first-batch", "Time the way to the first batch of such a set");
  first->add_option("FOLDER", folder)->required();
  first->add_option("--batch", loading.batch, "Clips")->check(CLI::Range(1, 1024));
  first->add_option("--workers", loading.workers)->check(CLI::Range(0, 256));
  for (CLI::App* command : {turns, first}) {
    command->add_option("--frames", options.frames, "Of a clip")->check(CLI::Range(1, 4096));
    command->add_option("--stride", options.stride, "From frame to frame")->check(CLI::Range(1, 1000));
    command->add_option("--size", options.size, "Width and height of a clip")->check(CLI::Range(1, 4096));
  }
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  if (*turns) return take_turns(videos, options);
  if (*many)
    make_many(folder, count, videos);
  else
    std::cout << first_batch(folder, options, loading) << std::endl;
  return exit_code::kOk;
}

}  // namespace
}  // namespace engine::bench

int main(int argc, char** argv) { return engine::run_program("engine_io_bench", argc, argv, engine::bench::body); }
