#include "train/data_index.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "io/atomic_file.h"
#include "io/crc32c.h"
#include "io/decoded_clip.h"
#include "io/list_file.h"
#include "io/text.h"
#include "train/output.h"
#include "train/signals.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

// $XDG_CACHE_HOME/engine/<checksum of the absolute path>.index; empty where there is no home.
fs::path cache_file(const fs::path& absolute) {
  fs::path cache = environment("XDG_CACHE_HOME");
  if (cache.is_relative()) {  // so the XDG base directory specification
    const std::string home = environment("HOME");
    if (home.empty()) return {};
    cache = fs::path(home) / ".cache";
  }
  const std::string text = absolute.string();
  return cache / "engine" / fmt::format("{:08x}{:08x}.index", crc32c(text), crc32c(text + "/"));
}

bool is_video(const std::string& path) {
  std::error_code ignored;
  return !is_decoded_clip_name(path) && !fs::is_directory(path, ignored);
}

void write_index(const std::string& file, const std::string& bytes) {
  std::error_code ignored;
  fs::create_directories(fs::path(file).parent_path(), ignored);
  write_file_atomically(file, bytes);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string clock_of(double seconds) { return fmt::format("{:.1f} s", seconds); }

// "8-12, 40": frames.
std::string rows_of(const std::vector<std::pair<int64_t, int64_t>>& rows) {
  std::string text;
  for (const auto& [first, last] : rows) {
    text += text.empty() ? "" : ", ";
    text += first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
  }
  return text;
}

void print_video(const IndexedVideo& video) {
  std::string line = escaped(video.name) + "\t";
  if (!video.error.empty()) {
    print_out(line + "error: " + video.error + "\n");
    return;
  }
  line += fmt::format("{} {}, {}x{}, {} frames, {:.6g} fps, {}, {}, {} bytes, key frame every {:.3g}", video.info.codec,
                      video.info.pixel_format, video.info.size.width, video.info.size.height, video.frames,
                      video.info.fps, clock_of(video.seconds), video.info.container, video.bytes, video.info.gop_mean);
  if (video.info.rotation != 0) line += fmt::format(", rotated {}", video.info.rotation);
  if (video.info.mirrored) line += ", mirrored";
  if (video.info.variable_rate) line += ", variable rate";
  if (video.open_gop) line += ", open GOP";
  if (!video.info.stamped) line += ", without time stamps";
  if (!video.damaged.empty()) line += ", damaged at frames " + rows_of(video.damaged);
  print_out(line + (video.direct ? ", direct\n" : "\n"));
}

// How many videos are of each kind, and what is odd about some.
void print_table(const VideoIndex& index, bool list) {
  std::map<std::string, int64_t> kinds;
  int64_t frames = 0, bytes = 0, direct = 0, varied = 0, open = 0, unstamped = 0, damaged = 0, unusable = 0;
  std::string first_error;
  for (int64_t i = 0; i < index.size(); ++i) {
    const IndexedVideo video = index.describe(i);
    if (list) print_video(video);
    if (!video.error.empty()) {
      if (unusable++ == 0) first_error = escaped(video.name) + ": " + video.error;
      continue;
    }
    ++kinds[fmt::format("{} {} {}x{}", video.info.codec, video.info.pixel_format, video.info.size.width,
                        video.info.size.height)];
    frames += video.frames;
    bytes += video.bytes;
    direct += video.direct;
    varied += video.info.variable_rate;
    open += video.open_gop;
    unstamped += !video.info.stamped;
    damaged += !video.damaged.empty();
  }
  if (list) return;
  print_out(fmt::format("{}\t{} frames\t{:.1f} MB\n", counted(static_cast<size_t>(index.size()), "video"), frames,
                        static_cast<double>(bytes) * 1e-6));
  std::vector<std::pair<int64_t, std::string>> order;
  for (const auto& [kind, count] : kinds) order.emplace_back(-count, kind);
  std::ranges::sort(order);
  constexpr size_t kMost = 10;
  for (size_t i = 0; i < std::min(order.size(), kMost); ++i)
    print_out(fmt::format("{}\t{}\n", -order[i].first, order[i].second));
  if (order.size() > kMost) print_out(fmt::format("\tand {} other kinds\n", order.size() - kMost));
  print_out(fmt::format("{}\tread directly, without a demuxer\n", direct));
  for (const auto& [count, what] : {std::pair(varied, "variable frame rate"), std::pair(open, "open GOPs"),
                                    std::pair(unstamped, "without time stamps"), std::pair(damaged, "damaged")})
    if (count > 0) print_out(fmt::format("{}\t{}\n", count, what));
  if (unusable > 0) print_out(fmt::format("{}\tcannot be used; the first: {}\n", unusable, first_error));
}

}  // namespace

IndexPlace index_place(const std::string& data) {
  std::error_code ignored;
  const bool is_folder = fs::is_directory(data, ignored);
  fs::path absolute = fs::absolute(data).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();
  const fs::path folder = is_folder ? absolute : absolute.parent_path();
  const std::string beside = is_folder ? (folder / kIndexName).string() : absolute.string() + kIndexName;
  const fs::path cache = cache_file(absolute);
  if (::access(folder.c_str(), W_OK) == 0 || cache.empty()) return {folder.string(), beside, beside};
  return {folder.string(), fs::exists(cache, ignored) ? cache.string() : beside, cache.string()};
}

std::shared_ptr<const VideoIndex> prepare_index(const std::string& data, const Splits& splits, ProgressMode mode) {
  std::vector<std::string> paths;
  for (const Dataset* part : {&splits.train, &splits.val, &splits.test})
    for (const Sample& sample : part->samples)
      if (is_video(sample.path)) paths.push_back(sample.path);
  if (paths.size() < 2 || !video_available()) return nullptr;
  const auto start = std::chrono::steady_clock::now();
  const IndexPlace place = index_place(data);
  Bar progress("Index", mode);
  IndexOptions options;
  options.progress = [&](int64_t done, int64_t total) { return progress(done, total); };
  const IndexUpdate update = update_index(place.read, place.folder, paths, options);
  if (!update.changed) return update.index;
  try {
    write_index(place.write, update.bytes);
    print_err(fmt::format("index: {} ({})\n", counted(static_cast<size_t>(update.scanned), "video"),
                          clock_of(seconds_since(start))));
  } catch (const Error& error) {
    print_err(fmt::format("warning: the index of the videos is not kept: {}\n", error.what()));
  }
  return update.index;
}

std::vector<std::string> videos_of(const std::string& data) {
  std::error_code ignored;
  if (!fs::exists(data, ignored)) throw Error(concat(escaped(data), ": no such file"), exit_code::kNoInput);
  const bool is_folder = fs::is_directory(data, ignored);
  std::vector<std::string> videos = is_folder ? find_clips(data) : read_paths(data);
  for (const char* name : {"train.txt", "val.txt", "test.txt"})
    if (const fs::path list = fs::path(data) / name; is_folder && fs::exists(list, ignored))
      std::ranges::copy(read_paths(list.string()), std::back_inserter(videos));
  std::erase_if(videos, [](const std::string& path) { return !is_video(path); });
  if (videos.empty()) throw Error(concat(escaped(data), ": no videos here"), exit_code::kNoInput);
  return videos;
}

namespace {

constexpr const char* kExamples = R"(Examples:
  engine_data index videos                look at every video once; training does the same when it starts
  engine_data index list.txt --list       and tell what is in each of them)";

struct DataIndexOptions {
  std::string data;
  std::string out;    // another file than index_place() says
  bool list = false;  // print a line for every video
};

int index_data(const DataIndexOptions& options) {
  const StopSignals signals;
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> paths = videos_of(options.data);
  IndexPlace place = index_place(options.data);
  if (!options.out.empty()) place.read = place.write = options.out;
  Bar progress("Index");
  IndexOptions indexing;
  indexing.thorough = true;
  indexing.progress = [&](int64_t done, int64_t total) { return progress(done, total); };
  IndexUpdate update;
  try {
    update = update_index(place.read, place.folder, paths, indexing);
  } catch (const Error& error) {
    if (error.code() != exit_code::kStopped || StopSignals::received() == 0) throw;
    throw Error("stopped; the index is what it was before", stop_exit_code(StopSignals::received()));
  }
  if (update.changed) write_index(place.write, update.bytes);
  print_table(*update.index, options.list);
  print_err(fmt::format("{}: {} scanned, {} in all ({})\n", escaped(update.changed ? place.write : place.read),
                        update.scanned, counted(static_cast<size_t>(update.index->size()), "video"),
                        clock_of(seconds_since(start))));
  return exit_code::kOk;
}

}  // namespace

Subcommand declare_data_index(CLI::App& program) {
  CLI::App* command = program.add_subcommand("index", "Scans videos once, so that every clip is opened at once");
  command->footer(kExamples);
  const auto options = std::make_shared<DataIndexOptions>();
  command->add_option("DATA", options->data, "A folder of videos, or a list, as for engine_train")->required();
  command->add_option("--out", options->out, "The index; default DATA/.engine-index, or LIST.engine-index")
      ->type_name("FILE");
  command->add_flag("--list", options->list, "Print a line for every video");
  return {command, [=] { return index_data(*options); }};
}

}  // namespace engine
