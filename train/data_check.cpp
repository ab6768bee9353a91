#include "train/data_check.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/tensor.h"
#include "io/text.h"
#include "train/data_leaks.h"
#include "train/data_speed.h"
#include "train/data_split.h"
#include "train/data_summary.h"
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
  constexpr const char* kAgain = "get it again, or leave it out";
  std::error_code ignored;
  const SourceFault otherwise = !fs::exists(sample.path, ignored)    ? SourceFault::missing
                                : facts.code == exit_code::kNoInput  ? SourceFault::unreadable
                                : facts.code == exit_code::kNoDevice ? SourceFault::unsupported
                                : facts.is_file && facts.bytes == 0  ? SourceFault::empty
                                                                     : SourceFault::damaged;
  const auto [kind, advice] = [&]() -> std::pair<const char*, const char*> {
    switch (facts.fault.value_or(otherwise)) {
      case SourceFault::missing:
        return {"missing", "put it there, or take its line out of the list"};
      case SourceFault::unreadable:
        return {"unreadable", "look at its permissions and what it is"};
      case SourceFault::empty:
        return {"empty", kAgain};
      case SourceFault::not_a_video:
        return {"no video", kAgain};
      case SourceFault::no_pictures:
        return {"audio only", "leave it out"};
      case SourceFault::cut_off:
        return {"cut off", "or leave it out"};
      case SourceFault::encrypted:
        return {"encrypted", "get it without, or leave it out"};
      case SourceFault::too_large:
        return {"too large", "or leave it out"};
      case SourceFault::unsupported:
        return {"unsupported", "or leave it out"};
      case SourceFault::changed:
        return {"changed", "look again when nobody writes to it"};
      case SourceFault::slow:
        return {"slow", "copy it to a faster place"};
      case SourceFault::damaged:
        break;
    }
    return {"corrupt", kAgain};
  }();
  return {kind, std::move(where), facts.error, advice};
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
  if (facts.info.unusable_start > 0)
    problems.push_back(
        {"late start", where,
         fmt::format("starts without a key frame: the first {:.2f} s cannot be decoded", facts.info.unusable_start),
         "they are left out", false});
  if (!facts.damaged_at.empty())
    problems.push_back({"damaged", where,
                        deep ? fmt::format("around {}: {} of {} pictures decode with errors, {} not at all; {} refused",
                                           facts.damaged_at, facts.damaged, facts.info.packets, facts.lost,
                                           counted(static_cast<size_t>(facts.refused), "packet"))
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

// ---- the report ----

std::string report(const Summary& summary, const Speed& speed, const DataCheckOptions& options) {
  std::string text = to_text(summary);
  if (speed.clips == 0) return text;
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  text += summary_row(
      "speed", fmt::format("{:.0f} clips/s on one core, about {:.0f} on the {} here ({} frames of {}x{} over the whole "
                           "video, measured on {})",
                           speed.per_second, speed.per_second * cores, cores, options.frames, options.size,
                           options.size, counted(speed.clips, "clip")));
  if (!speed.dense) return text;
  const auto& [factor, space, count] = *speed.dense;
  const std::string measured = fmt::format("{:.1f} times the speed and {:.1f} times the space, measured on {}", factor,
                                           space, counted(count, "clip"));
  if (factor < kWorthWhile) {
    text += summary_row("note", fmt::format("key frames every {} would not help: {}", kUsefulGop, measured));
    return text;
  }
  text += summary_row("faster", fmt::format("with key frames every {}: {}", kUsefulGop, measured));
  text +=
      summary_row("", fmt::format("ffmpeg -i IN -c:v libx264 -g {} -crf 18 -pix_fmt yuv420p -an OUT.mp4", kUsefulGop));
  return text;
}

ordered_json to_json(const Splits& splits, const std::vector<Problem>& problems, const Summary& summary,
                     const Speed& speed, size_t clips) {
  ordered_json found = ordered_json::array(), oddities = ordered_json::object(), first = ordered_json::object();
  for (const Problem& each : problems)
    found.push_back({{"kind", each.kind},
                     {"where", each.where},
                     {"why", each.why},
                     {"advice", each.advice},
                     {"serious", each.serious}});
  for (const auto& [what, note] : summary.notes) oddities[what] = note.videos, first[what] = note.first;
  ordered_json object = {{"how", splits.how},      {"clips", clips},           {"readable", summary.clips},
                         {"problems", found},      {"counts", summary.counts}, {"oddities", oddities},
                         {"first_oddities", first}};
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
  const Summary summary = summarize(clips, facts);
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
  Summary::Counts kinds;
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
  text += fmt::format("{:<11} {}\n", "problems", problems.empty() ? "none" : to_text(kinds, kinds.size()));
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
