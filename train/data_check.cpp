#include "train/data_check.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/tensor.h"
#include "io/text.h"
#include "train/data_leaks.h"
#include "train/data_speed.h"
#include "train/data_split.h"
#include "train/output.h"

namespace engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kExamples = R"(Examples:
  engine_data check videos                what is wrong, what is there, how fast it can be read
  engine_data check videos --deep         decodes every frame, which also finds damage inside
  engine_data check list.txt --json       one JSON object, for programs)";

constexpr double kWorthWhile = 1.3;  // times faster

// ---- problems ----

Problem unreadable(const ClipFacts& facts, const Sample& sample, std::string where) {
  Problem problem{"corrupt", std::move(where), facts.error, "get it again, or leave it out"};
  std::error_code ignored;
  if (!fs::exists(sample.path, ignored)) {
    problem.kind = "missing";
    problem.advice = "put it there, or take its line out of the list";
  } else if (facts.code == exit_code::kNoInput) {
    problem.kind = "unreadable";
    problem.advice = "look at its permissions and what it is";
  } else if (facts.bytes == 0 && facts.error.find("empty file") != std::string::npos) {
    problem.kind = "empty";
  } else if (facts.error.find("no video stream") != std::string::npos) {
    problem.kind = "audio only";
    problem.advice = "leave it out";
  } else if (facts.error.find("cut off") != std::string::npos) {
    problem.kind = "cut off";
    problem.why = facts.error.substr(0, facts.error.find("; copy"));
  }
  return problem;
}

void add_clip_problems(const ClipFacts& facts, const Clip& clip, int frames, bool deep,
                       std::vector<Problem>& problems) {
  const std::string where = place_of(clip);
  if (!facts.error.empty()) {
    problems.push_back(unreadable(facts, *clip.sample, where));
    return;
  }
  if (!facts.cut_off.empty())
    problems.push_back({"cut off", where, facts.cut_off, "get it again; what is there can be used"});
  if (facts.damaged > 0 || (facts.lost > 0 && facts.cut_off.empty()))
    problems.push_back({"damaged", where,
                        deep ? fmt::format("{} of {} pictures decode with errors, {} not at all", facts.damaged,
                                           facts.info.packets, facts.lost)
                             : "the first picture decodes with errors (--deep looks at all)",
                        "get it again, or leave it out"});
  if (facts.frames < frames)
    problems.push_back({"short", where,
                        fmt::format("{}, fewer than the {} of a clip", counted(facts.frames, "frame"), frames),
                        "its frames will be repeated; or train with fewer --frames", false});
}

Problem repeated(const Repeat& repeat) {
  const std::string where = place_of(repeat.clip), other = place_of(repeat.earlier);
  const bool same_label = repeat.clip.sample->label == repeat.earlier.sample->label &&
                          repeat.clip.sample->targets == repeat.earlier.sample->targets;
  if (repeat.leaks()) {
    const std::string what = repeat.kind == Repeat::Kind::path ? "the same file as"
                             : repeat.kind == Repeat::Kind::bytes
                                 ? "the same bytes as"
                                 : fmt::format("of group {}, as", escaped(repeat.clip.sample->group));
    return {"leak", where, fmt::format("{}: {} {} in {}", repeat.clip.part_name, what, other, repeat.earlier.part_name),
            "figures will be too good; engine_data split draws parts without that"};
  }
  const char* what = repeat.kind == Repeat::Kind::path ? "the same file as" : "the same bytes as";
  if (!same_label)
    return {"duplicate", where, fmt::format("{} {}, and another label", what, other), "keep the right one"};
  return {"duplicate", where, fmt::format("{} {}", what, other), "keep one; it counts twice",
          repeat.kind == Repeat::Kind::path};
}

// ---- what is there ----

using Counts = std::map<std::string, size_t>;

// "h264 (100), vp9 (3)", the most frequent first.
std::string text_of(const Counts& counts, size_t most = 6) {
  std::vector<std::pair<std::string, size_t>> sorted(counts.begin(), counts.end());
  std::ranges::stable_sort(sorted, std::greater{}, [](const auto& each) { return each.second; });
  std::string text;
  for (size_t i = 0; i < std::min(most, sorted.size()); ++i)
    text += fmt::format("{}{} ({})", i > 0 ? ", " : "", sorted[i].first, sorted[i].second);
  return sorted.size() > most ? text + fmt::format(", {} more", sorted.size() - most) : text;
}

struct Summary {
  size_t clips = 0, videos = 0;
  std::map<std::string, Counts> counts;  // of "size", "fps", ...
  std::map<std::string, size_t> oddities;
  std::vector<double> frames, seconds, keys;
};

std::string gop_class(const VideoInfo& info) {
  for (const int64_t limit : {1, 12, 30, 60, 120, 250})
    if (info.gop_max <= limit) return limit == 1 ? "all" : fmt::format("every {} or less", limit);
  return "over 250 apart";
}

Summary summarize(const std::vector<ClipFacts>& facts) {
  Summary summary;
  for (const ClipFacts& each : facts) {
    if (!each.error.empty()) continue;
    ++summary.clips;
    summary.frames.push_back(static_cast<double>(each.frames));
    ++summary.counts["size"][fmt::format("{}x{}", each.size.width, each.size.height)];
    if (!each.is_video) continue;
    const VideoInfo& info = each.info;
    ++summary.videos;
    summary.seconds.push_back(each.seconds);
    summary.keys.push_back(static_cast<double>(info.gop_max));
    ++summary.counts["fps"][fmt::format("{:.4g}", info.fps)];
    ++summary.counts["codec"][info.codec];
    ++summary.counts["pixels"][info.pixel_format];
    ++summary.counts["colour"][info.matrix + " " + info.range];
    ++summary.counts["key frames"][gop_class(info)];
    const auto note = [&](const char* what, bool holds) {
      if (holds) ++summary.oddities[what];
    };
    note("rotated or mirrored by metadata (shown upright)", info.rotation != 0 || info.mirrored);
    note("of variable frame rate (frames are taken by number)", info.variable_rate);
    note("interlaced (used as they are)", info.interlaced);
    note("with pixels that are not square (taken as square)", std::abs(info.pixel_aspect - 1) > 0.005);
    note("without usable time stamps (slow to open)", !info.stamped);
  }
  return summary;
}

// "3 to 513, median 61"
std::string range_of(std::vector<double> values, const char* format) {
  std::ranges::sort(values);
  const auto text = [&](double value) { return fmt::format(fmt::runtime(format), value); };
  return fmt::format("{} to {}, median {}", text(values.front()), text(values.back()), text(values[values.size() / 2]));
}

// ---- the report ----

std::string report(const Summary& summary, const Speed& speed, const DataCheckOptions& options) {
  std::string text;
  const auto row = [&](const std::string& title, const std::string& value) {
    text += fmt::format("{:<11} {}\n", title, value);
  };
  for (const auto& [title, counts] : summary.counts) row(title, text_of(counts));
  if (!summary.frames.empty()) row("frames", range_of(summary.frames, "{:.0f}"));
  if (!summary.seconds.empty()) row("seconds", range_of(summary.seconds, "{:.2f}"));
  for (const auto& [what, count] : summary.oddities) row("note", fmt::format("{} {}", counted(count, "video"), what));
  if (speed.clips == 0) return text;
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  row("speed", fmt::format("{:.0f} clips/s on one core, about {:.0f} on the {} here ({} frames of {}x{} over the whole "
                           "video, measured on {})",
                           speed.per_second, speed.per_second * cores, cores, options.frames, options.size,
                           options.size, counted(speed.clips, "clip")));
  if (!speed.dense) return text;
  const auto& [factor, space, count] = *speed.dense;
  const std::string measured = fmt::format("{:.1f} times the speed and {:.1f} times the space, measured on {}", factor,
                                           space, counted(count, "clip"));
  if (factor < kWorthWhile) {
    row("note", fmt::format("key frames every {} would not help: {}", kUsefulGop, measured));
    return text;
  }
  row("faster", fmt::format("with key frames every {}: {}", kUsefulGop, measured));
  row("", fmt::format("ffmpeg -i IN -c:v libx264 -g {} -crf 18 -pix_fmt yuv420p -an OUT.mp4", kUsefulGop));
  return text;
}

ordered_json to_json(const Splits& splits, const std::vector<Problem>& problems, const Summary& summary,
                     const Speed& speed, size_t clips) {
  ordered_json found = ordered_json::array();
  for (const Problem& each : problems)
    found.push_back({{"kind", each.kind},
                     {"where", each.where},
                     {"why", each.why},
                     {"advice", each.advice},
                     {"serious", each.serious}});
  ordered_json object = {{"how", splits.how}, {"clips", clips},           {"readable", summary.clips},
                         {"problems", found}, {"counts", summary.counts}, {"oddities", summary.oddities}};
  if (speed.clips > 0) {
    object["clips_per_second"] = speed.per_second;
    if (speed.dense) object["dense_key_frames"] = {{"factor", speed.dense->factor}, {"space", speed.dense->space}};
  }
  return object;
}

// Files without an ending may be videos: in a folder without labels they are looked at, too.
void add_files_without_ending(const std::string& folder, Splits& splits) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    const bool hidden = path.filename().string().starts_with('.');
    if (hidden && entry->is_directory(error)) entry.disable_recursion_pending();
    if (!hidden && !path.has_extension() && entry->is_regular_file(error)) files.push_back(path);
  }
  std::ranges::sort(files);
  for (const fs::path& path : files)
    splits.train.samples.push_back({path.string(), 0, escaped(path.lexically_relative(folder).string())});
}

}  // namespace

std::vector<Problem> find_problems(const Splits& splits, const std::vector<std::string>& problems,
                                   const std::vector<ClipFacts>& facts, int frames, bool deep) {
  std::vector<Problem> found;
  for (const std::string& each : problems) {
    const bool unlabelled = each.find("a path and a label are expected") != std::string::npos;
    const bool missing = each.find("there is no video") != std::string::npos;
    const size_t end = each.find(": ");
    const std::string where = each.substr(0, end), why = end == each.npos ? each : each.substr(end + 2);
    if (unlabelled)
      found.push_back({"unlabelled", where, why, "add the label"});
    else if (missing)
      found.push_back({"missing", where, why.substr(0, why.find("; ")), "get it, or leave it: it is not used", false});
    else
      found.push_back({"broken list", where, why, "correct it"});
  }
  const std::vector<Clip> clips = clips_of(splits);
  std::map<const Sample*, Problem> repeats;
  for (const Repeat& repeat : find_repeats(clips, false)) repeats.emplace(repeat.clip.sample, repeated(repeat));
  for (size_t i = 0; i < clips.size(); ++i) {
    add_clip_problems(facts[i], clips[i], frames, deep, found);
    if (const auto repeat = repeats.find(clips[i].sample); repeat != repeats.end()) found.push_back(repeat->second);
  }
  return found;
}

int check_data(const DataCheckOptions& options) {
  std::vector<std::string> left_out;
  Splits splits = open_data(options.data, &left_out);
  std::error_code ignored;
  if (splits.train.classes.empty() && fs::is_directory(options.data.path, ignored))
    add_files_without_ending(options.data.path, splits);
  for (Dataset* part : {&splits.train, &splits.val, &splits.test}) set_groups(options.groups, part->samples);
  const std::vector<Clip> clips = clips_of(splits);
  std::vector<ClipFacts> facts(clips.size());
  for_each(clips.size(), options.data.threads, "clips",
           [&](size_t i) { facts[i] = inspect(*clips[i].sample, options.deep); });
  const std::vector<Problem> problems = find_problems(splits, left_out, facts, options.frames, options.deep);
  const Summary summary = summarize(facts);
  const Speed speed =
      measure_speed(clips, facts, {.frames = options.frames, .height = options.size, .width = options.size});
  const auto serious = static_cast<size_t>(std::ranges::count(problems, true, &Problem::serious));
  const int code = serious > 0 ? exit_code::kData : exit_code::kOk;
  if (options.json) {
    print_out(to_json(splits, problems, summary, speed, clips.size())
                  .dump(-1, ' ', false, ordered_json::error_handler_t::replace) +
              "\n");
    return code;
  }
  Counts kinds;
  std::string text;
  for (const Problem& each : problems) {
    ++kinds[each.kind];
    text += fmt::format("{:<11} {}: {}; {}\n", each.kind, each.where, each.why, each.advice);
  }
  if (!problems.empty()) text += "\n";
  text += fmt::format("{}: {}\n", escaped(options.data.path), splits.how);
  text +=
      fmt::format("{:<11} {} ({} train, {} val, {} test), {} can be read\n", "clips", clips.size(),
                  splits.train.samples.size(), splits.val.samples.size(), splits.test.samples.size(), summary.clips);
  text += fmt::format("{:<11} {}\n", "problems", problems.empty() ? "none" : text_of(kinds, kinds.size()));
  print_out(text + report(summary, speed, options));
  return code;
}

Subcommand declare_data_check(CLI::App& program) {
  CLI::App* command = program.add_subcommand("check", "Tells what is wrong with videos and lists, and what is in them");
  command->footer(kExamples);
  const auto options = std::make_shared<DataCheckOptions>();
  declare_data(*command, options->data);
  command->add_flag("--deep", options->deep, "Decode every frame and count the damaged ones");
  command->add_flag("--json", options->json, "One JSON object");
  command->add_option("--groups", options->groups, "As engine_data split has it: what must not be in two parts")
      ->type_name("REGEX|TABLE:COLUMN");
  command->add_option("--frames", options->frames, "Frames of the clips that will be trained on")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--size", options->size, "Their sides in pixels, for the speed")
      ->check(CLI::Range(8, 4096))
      ->capture_default_str();
  return {command, [options] { return check_data(*options); }};
}

}  // namespace engine
