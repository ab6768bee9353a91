#include "train/data_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace engine {
namespace {

std::string gop_class(const VideoInfo& info) {
  for (const int64_t limit : {1, 12, 30, 60, 120, 250})
    if (info.gop_max <= limit) return limit == 1 ? "all" : fmt::format("every {} or less", limit);
  return "over 250 apart";
}

void take_notes(const std::string& name, const ClipFacts& facts, std::map<std::string, Summary::Note>& notes) {
  const VideoInfo& info = facts.info;
  const auto note = [&](bool holds, const char* what, const std::string& how) {
    if (!holds) return;
    Summary::Note& each = notes[what];
    if (each.videos++ == 0) each.first = how.empty() ? name : fmt::format("{} ({})", name, how);
  };
  note(info.rotation != 0 || info.mirrored, "rotated or mirrored by metadata (shown upright)",
       fmt::format("by {} degrees{}", info.rotation, info.mirrored ? ", mirrored" : ""));
  note(info.variable_rate, "of variable frame rate (frames are taken by number)",
       fmt::format("{:.3g} to {:.3g} a second", facts.slowest, facts.fastest));
  note(info.interlaced, "interlaced (used as they are)", "");
  note(std::abs(info.pixel_aspect - 1) > 0.005, "with pixels that are not square (taken as square)",
       fmt::format("{:.3g} times as wide as high", info.pixel_aspect));
  note(!info.stamped, "without usable time stamps (slow to open)",
       fmt::format("frames in the order of decoding, {:.4g} a second", info.fps));
  note(info.alpha, "with transparency (ignored)", info.pixel_format);
  note(info.converted, "in a pixel format that is made RGB first (slower)", info.pixel_format);
  note(info.varied_size, "with pictures of several sizes (scaled to the same)", "");
}

// "3 to 513, median 61"
std::string range_of(std::vector<double> values, const char* format) {
  std::ranges::sort(values);
  const auto text = [&](double value) { return fmt::format(fmt::runtime(format), value); };
  return fmt::format("{} to {}, median {}", text(values.front()), text(values.back()), text(values[values.size() / 2]));
}

}  // namespace

Summary summarize(const std::vector<Clip>& clips, const std::vector<ClipFacts>& facts) {
  Summary summary;
  for (size_t i = 0; i < facts.size(); ++i) {
    const ClipFacts& each = facts[i];
    if (!each.error.empty()) continue;
    ++summary.clips;
    summary.frames.push_back(static_cast<double>(each.frames));
    ++summary.counts["size"][fmt::format("{}x{}", each.size.width, each.size.height)];
    if (!each.is_video) continue;
    const VideoInfo& info = each.info;
    ++summary.videos;
    summary.seconds.push_back(each.seconds);
    ++summary.counts["fps"][fmt::format("{:.4g}", info.fps)];
    ++summary.counts["codec"][info.codec];
    ++summary.counts["pixels"][info.pixel_format];
    ++summary.counts["colour"][info.matrix + " " + info.range];
    ++summary.counts["key frames"][gop_class(info)];
    take_notes(clips[i].sample->name, each, summary.notes);
  }
  return summary;
}

std::string summary_row(const std::string& title, const std::string& value) {
  return fmt::format("{:<11} {}\n", title, value);
}

std::string to_text(const Summary::Counts& counts, size_t most) {
  std::vector<std::pair<std::string, size_t>> sorted(counts.begin(), counts.end());
  std::ranges::stable_sort(sorted, std::greater{}, [](const auto& each) { return each.second; });
  std::string text;
  for (size_t i = 0; i < std::min(most, sorted.size()); ++i)
    text += fmt::format("{}{} ({})", i > 0 ? ", " : "", sorted[i].first, sorted[i].second);
  return sorted.size() > most ? text + fmt::format(", {} more", sorted.size() - most) : text;
}

std::string to_text(const Summary& summary) {
  std::string text;
  for (const auto& [title, counts] : summary.counts) text += summary_row(title, to_text(counts));
  if (!summary.frames.empty()) text += summary_row("frames", range_of(summary.frames, "{:.0f}"));
  if (!summary.seconds.empty()) text += summary_row("seconds", range_of(summary.seconds, "{:.2f}"));
  for (const auto& [what, note] : summary.notes)
    text += summary_row("note", fmt::format("{} {}; the first: {}", counted(note.videos, "video"), what, note.first));
  return text;
}

}  // namespace engine
