#include "train/segments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/text.h"
#include "train/head.h"

namespace engine {
namespace {

constexpr double kFrameSeconds = 0.04;  // where a single frame does not tell how long it is shown
constexpr double kLeastSeconds = 0.001;

double middle(const Window& window) { return static_cast<double>(window.first + window.last) / 2; }

// "01:02:03,456".
std::string subtitle_time(double seconds) {
  const auto all = std::llround(std::max(seconds, 0.0) * 1000);
  return fmt::format("{:02}:{:02}:{:02},{:03}", all / 3'600'000, all / 60'000 % 60, all / 1000 % 60, all % 1000);
}

// What ends a cue or reads as its times cannot stand in one.
std::string subtitle_text(const std::string& text) {
  std::string shown = escaped(text);
  for (size_t arrow; (arrow = shown.find("-->")) != std::string::npos;) shown.replace(arrow, 3, "->");
  return shown;
}

std::string cue(const Prediction& prediction, const ModelFile& model, size_t top) {
  std::string text;
  for (const size_t i : told_outputs(model.head, prediction.values, top)) {
    const double value = prediction.values[i];
    text += text.empty() ? "" : ", ";
    text += model.head == Head::regression ? fmt::format("{} {:.4g}", subtitle_text(model.classes[i]), value)
                                           : fmt::format("{} {:.0f}%", subtitle_text(model.classes[i]), 100 * value);
  }
  return text;
}

}  // namespace

void SegmentJoiner::add(const Prediction& window) {
  ENGINE_CHECK(window.window.has_value(), "segments: a prediction of a whole video");
  windows_.push_back(window);
}

std::vector<Segment> SegmentJoiner::segments() const {
  const auto told = [this](const Prediction& window) {
    std::vector<size_t> outputs = told_outputs(head_, window.values, 1);
    std::ranges::sort(outputs);
    return outputs;
  };
  const auto same = [&](const Prediction& a, const Prediction& b) {
    return head_ != Head::regression && told(a) == told(b);
  };
  std::vector<Segment> result;
  for (size_t first = 0; first < windows_.size();) {
    size_t end = first + 1;
    while (end < windows_.size() && same(windows_[first], windows_[end])) ++end;
    const Window &from = *windows_[first].window, &to = *windows_[end - 1].window;
    Window part{from.first, to.last, from.begin, to.end};
    if (first > 0) {
      part.first = result.back().prediction.window->last + 1;
      part.begin = result.back().prediction.window->end;
    }
    if (end < windows_.size()) {
      const Window& next = *windows_[end].window;
      part.last = static_cast<int64_t>((middle(to) + middle(next)) / 2);
      if (to.begin) part.end = (*to.begin + *to.end + *next.begin + *next.end) / 4;
    } else if (to.end) {  // the last frame is shown for as long as the others on average
      part.end = *to.end +
                 (to.last > to.first ? (*to.end - *to.begin) / static_cast<double>(to.last - to.first) : kFrameSeconds);
    }
    Segment segment{{windows_[first].file, std::vector<double>(windows_[first].values.size()), part},
                    static_cast<int64_t>(end - first)};
    for (size_t i = first; i < end; ++i)
      for (size_t k = 0; k < windows_[i].values.size(); ++k)
        segment.prediction.values[k] += windows_[i].values[k] / static_cast<double>(segment.windows);
    result.push_back(segment);
    first = end;
  }
  return result;
}

std::string to_srt(const std::vector<Segment>& segments, const ModelFile& model, size_t top) {
  std::string result;
  int number = 0;
  for (const Segment& segment : segments) {
    const Window& window = *segment.prediction.window;
    if (!window.begin)
      throw Error(concat(escaped(segment.prediction.file), ": only videos have times, which subtitles need; choose ",
                         "another --format"),
                  exit_code::kData);
    const std::string text = cue(segment.prediction, model, top);
    if (text.empty()) continue;
    const double end = std::max(*window.end, *window.begin + kLeastSeconds);
    result += fmt::format("{}\n{} --> {}\n{}\n\n", ++number, subtitle_time(*window.begin), subtitle_time(end), text);
  }
  return result;
}

}  // namespace engine
