// Charts for the report, as inline SVG.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace engine {

struct ChartSeries {
  std::string name;                               // in the legend
  std::vector<std::pair<double, double>> points;  // by rising x; where one is not finite, the line has a gap
  bool dots = false;                              // a dot with its value as a tooltip on every point
};

struct Chart {
  std::string title, x_title, y_title;
  std::vector<ChartSeries> series;  // at most four
  bool percent = false;             // y is a fraction, shown in percent and never over 1
  bool from_zero = false;           // the y axis starts at 0
  bool bars = false;                // of the first series, one per whole number
  bool scatter = false;             // dots alone, and the diagonal where they would be if x were y
  std::optional<double> best = {};  // an epoch to mark
};

// A <figure> with a title, a legend where there is more than one series, axes with few ticks, and the data. Empty where
// no value is finite. Long series are drawn as means of neighbours; rare values far above all others are cut off, and
// the title says so.
std::string html_chart(const Chart& chart);

}  // namespace engine
