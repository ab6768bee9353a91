#include "train/data_export.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "engine/tensor.h"
#include "io/clip.h"
#include "io/text.h"
#include "io/trim.h"
#include "train/data_lists.h"
#include "train/options.h"
#include "train/output.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

// A name of a class or clip as that of a folder or file.
std::string safe(std::string name) {
  std::ranges::replace(name, '/', '_');
  if (name.empty() || name[0] == '.') name.insert(0, "_");
  return name;
}

std::vector<fs::path> places_of(const std::vector<Clip>& clips, const ExportOptions& options) {
  std::vector<fs::path> places;
  std::set<fs::path> taken;
  for (const Clip& clip : clips) {
    const Dataset& part = *clip.part;
    fs::path folder = options.out;
    if (!part.classes.empty())
      folder /=
          part.head == Head::classification ? safe(part.classes[static_cast<size_t>(clip.sample->label)]) : "clips";
    const fs::path file(clip.sample->path);
    const std::string name = safe(is_video_name(file.string()) ? file.stem().string() : file.filename().string());
    fs::path place = folder / (name + options.ending);
    for (int number = 2; !taken.insert(place).second; ++number)
      place = folder / fmt::format("{}-{}{}", name, number, options.ending);
    places.push_back(place);
  }
  return places;
}

void prepare_folder(const ExportOptions& options) {
  std::error_code ignored;
  if (!options.force && fs::is_directory(options.out, ignored) && !fs::is_empty(options.out))
    throw Error(fmt::format("{} is not empty; choose another folder, or give --force to replace clips and lists in it",
                            escaped(options.out)),
                exit_code::kUsage);
  prepare_for_lists(options.out, options.force);
}

void make_room(const fs::path& place) {
  std::error_code failure;
  fs::remove_all(place, failure);
  if (!failure) fs::create_directories(place.parent_path(), failure);
  if (failure)
    throw Error(fmt::format("cannot write {}: {}; choose another folder", escaped(place.string()), failure.message()),
                exit_code::kStorage);
}

}  // namespace

void declare_size(CLI::App& command, FrameSize& size) {
  const auto parse = [&size](const std::string& text) {
    const std::optional<FrameSize> parsed = parse_frame_size(text);
    if (!parsed)
      throw Error(fmt::format("--size {}: give one number, or WIDTHxHEIGHT such as 320x240; 8 to 4096", escaped(text)),
                  exit_code::kUsage);
    size = *parsed;
  };
  command
      .add_option_function<std::string>(
          "--size", parse, "Pixels that frames are scaled to; one number: both sides (default: as they are)")
      ->type_name("WIDTHxHEIGHT");
}

void declare_export(CLI::App& command, ExportOptions& options) {
  declare_data(command, options.data);
  command.add_option("--out", options.out, "Folder for the result")->required();
  declare_size(command, options.size);
  CLI::Option* frames =
      command.add_option("--frames", options.frames, "So many frames of each clip, spread evenly (default: all)")
          ->check(CLI::Range(1, 1000000));
  command.add_option("--numbers", options.numbers, "These frames, counted from 0, for example 0,5,10-20")
      ->excludes(frames);
  command.add_flag("--force", options.force, "Replace clips and lists in OUT");
}

std::vector<int64_t> parse_numbers(const std::string& text) {
  constexpr int64_t kMost = 1'000'000;
  std::vector<int64_t> numbers;
  const char *at = text.data(), *const end = at + text.size();
  const auto number = [&] {
    int64_t value = -1;
    const auto [behind, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 0 || value > kMost)
      throw Error(fmt::format("--numbers {}: numbers such as 0,5,10-20 are expected, to {}", escaped(text), kMost),
                  exit_code::kUsage);
    at = behind;
    return value;
  };
  for (;;) {
    const int64_t first = number();
    const int64_t last = at < end && *at == '-' ? (++at, number()) : first;
    for (int64_t i = first; i <= last; ++i) numbers.push_back(i);
    if (at == end && first <= last) return numbers;
    if (first > last || *at++ != ',') at = end;  // number() refuses
  }
}

std::vector<int64_t> chosen_frames(const ExportOptions& options, int64_t count) {
  if (!options.numbers.empty()) {
    std::vector<int64_t> numbers = parse_numbers(options.numbers);
    for (const int64_t number : numbers)
      if (number >= count)
        throw Error(fmt::format("frame {} is asked for, and the clip has {}, counted from 0", number, count),
                    exit_code::kData);
    return numbers;
  }
  if (options.frames > 0) return sample_frames(count, {.frames = static_cast<int>(options.frames)}, nullptr);
  std::vector<int64_t> all(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) all[static_cast<size_t>(i)] = i;
  return all;
}

int export_clips(const ExportOptions& options,
                 const std::function<void(FrameSource& source, const fs::path& place)>& write) {
  if (!options.numbers.empty()) parse_numbers(options.numbers);
  const Splits splits = open_data(options.data);
  prepare_folder(options);
  const std::vector<Clip> clips = clips_of(splits);
  const bool one = splits.how == "one video" && options.ending.empty();
  const std::vector<fs::path> places = one ? std::vector<fs::path>{options.out} : places_of(clips, options);
  std::vector<std::string> bad(clips.size());
  for_each(clips.size(), options.data.threads, "clips", [&](size_t i) {
    try {
      const auto source = open_clip(*clips[i].sample);
      if (!one) make_room(places[i]);
      write(*source, places[i]);
    } catch (const Error& error) {
      if (error.code() != exit_code::kData && error.code() != exit_code::kNoInput) throw;
      bad[i] = error.what();
    }
  });
  size_t left_out = 0;
  std::array<std::vector<ListedClip>, 3> lists;
  std::vector<Sample> whole;  // what is written is the clip itself, not a part of a video
  for (const Clip& clip : clips) {
    whole.push_back(*clip.sample);
    whole.back().begin = whole.back().end = 0;
  }
  for (size_t i = 0; i < clips.size(); ++i) {
    if (!bad[i].empty()) {
      ++left_out;
      print_err(fmt::format("left out: {}: {}\n", place_of(clips[i]), bad[i]));
      continue;
    }
    const size_t part = clips[i].part == &splits.train ? 0 : clips[i].part == &splits.val ? 1 : 2;
    lists.at(part).push_back({places[i], &whole[i]});
  }
  if (!splits.train.classes.empty()) write_lists(options.out, lists, splits.train);
  print_out(fmt::format("{}\t{}\n", options.out, counted(clips.size() - left_out, "clip")));
  return left_out > 0 ? exit_code::kData : exit_code::kOk;
}

}  // namespace engine
