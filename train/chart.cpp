#include "train/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace engine {
namespace {

struct Glyphs {
  const char *flat, *rise_end, *rise_start, *fall_start, *fall_end, *vertical, *axis;
};
constexpr Glyphs kUnicode{"─", "╭", "╯", "╮", "╰", "│", "┤"};
constexpr Glyphs kAscii{"-", "/", "/", "\\", "\\", "|", "|"};

// `values` stretched or thinned to `columns` points, linearly between neighbours.
std::vector<double> resample(const std::vector<double>& values, int columns) {
  std::vector<double> result;
  for (int column = 0; column < columns; ++column) {
    const double position = static_cast<double>(column) * static_cast<double>(values.size() - 1) / (columns - 1);
    const auto left = static_cast<size_t>(position);
    const size_t right = std::min(left + 1, values.size() - 1);
    const double part = position - static_cast<double>(left);
    result.push_back(values[left] * (1 - part) + values[right] * part);
  }
  return result;
}

}  // namespace

std::string draw_chart(const std::string& title, const std::vector<double>& values, const ChartStyle& style) {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite), [](double x) { return std::isfinite(x); });
  if (finite.size() < 2) return "";
  const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
  const double span = std::max(*high - *low, 1e-12);
  const Glyphs& glyphs = style.unicode ? kUnicode : kAscii;
  std::vector<std::vector<std::string>> cells(static_cast<size_t>(style.height),
                                              std::vector<std::string>(static_cast<size_t>(style.width), " "));
  const auto row_of = [&](double value) {  // row 0 is the lowest
    return static_cast<int>(std::lround((value - *low) / span * (style.height - 1)));
  };
  const auto cell = [&](int row, size_t column) -> std::string& {
    return cells[static_cast<size_t>(style.height - 1 - row)][column];
  };
  const std::vector<double> points = resample(finite, style.width);
  int previous = row_of(points[0]);
  for (size_t column = 0; column < points.size(); ++column) {
    const int row = row_of(points[column]);
    if (row == previous) {
      cell(row, column) = glyphs.flat;
    } else {
      const bool rises = row > previous;
      cell(previous, column) = rises ? glyphs.rise_start : glyphs.fall_start;
      cell(row, column) = rises ? glyphs.rise_end : glyphs.fall_end;
      for (int r = std::min(row, previous) + 1; r < std::max(row, previous); ++r) cell(r, column) = glyphs.vertical;
    }
    previous = row;
  }
  std::string text = title + "\n";
  for (int row = style.height - 1; row >= 0; --row) {
    const double value = *low + span * row / (style.height - 1);
    text += fmt::format("{:>9.3f} {}", value, glyphs.axis);
    for (const auto& glyph : cells[static_cast<size_t>(style.height - 1 - row)]) text += glyph;
    while (text.back() == ' ') text.pop_back();
    text += "\n";
  }
  return text;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale(value);
    return locale.find("UTF-8") != std::string_view::npos || locale.find("utf8") != std::string_view::npos;
  }
  return false;
}

}  // namespace engine
