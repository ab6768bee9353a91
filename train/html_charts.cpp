#include "train/html_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "train/html_text.h"

namespace engine {
namespace {

constexpr double kWidth = 420, kHeight = 240, kLeft = 54, kRight = 14, kTop = 20, kBottom = 40;
constexpr size_t kMostPoints = 400, kMostDots = 60;
constexpr double kOutlier = 4;  // times the 98th percentile

using Points = std::vector<std::pair<double, double>>;

struct Axis {
  double low = 0, high = 1, step = 1;
  std::vector<double> ticks{};
};

// The least 1, 2 or 5 times a power of ten that gives at most `most` steps.
double nice_step(double range, int most) {
  const double rough = range / most, power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

Axis axis_of(double low, double high, int most, bool whole_numbers) {
  if (!(high > low)) {
    const double pad = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= pad, high += pad;
  }
  Axis axis{low, high, nice_step(high - low, most)};
  if (whole_numbers) axis.step = std::max(1.0, std::ceil(axis.step));
  for (double k = std::ceil(low / axis.step - 1e-9); k * axis.step <= high + 1e-9 * axis.step; ++k)
    axis.ticks.push_back(k * axis.step);
  return axis;
}

// Out to the next ticks.
Axis rounded_axis(double low, double high, int most) {
  const Axis axis = axis_of(low, high, most, false);
  return axis_of(std::floor(axis.low / axis.step + 1e-9) * axis.step,
                 std::ceil(axis.high / axis.step - 1e-9) * axis.step, most, false);
}

std::string tick_text(double value, const Axis& axis, bool percent) {
  const double scale = percent ? 100 : 1, step = axis.step * scale;
  value *= scale;
  if (std::abs(value) < step * 1e-6) value = 0;
  const double largest = std::max(std::abs(axis.low), std::abs(axis.high)) * scale;
  const std::string unit = percent ? " %" : "";
  if (value == 0) return "0" + unit;
  if (largest < 1e-3 || largest >= 1e6) return fmt::format("{:.3g}{}", value, unit);
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}f}{}", value, decimals, unit);
}

// Means of neighbours, where there are too many points; what is not finite stays a gap.
Points thinned(const Points& points) {
  if (points.size() <= kMostPoints) return points;
  Points result;
  for (size_t i = 0; i < kMostPoints; ++i) {
    double x = 0, y = 0, count = 0;
    for (size_t k = i * points.size() / kMostPoints; k < (i + 1) * points.size() / kMostPoints; ++k) {
      if (!std::isfinite(points[k].second)) continue;
      x += points[k].first, y += points[k].second, ++count;
    }
    if (count > 0) result.emplace_back(x / count, y / count);
  }
  return result;
}

struct Plot {
  const Chart& chart;
  Axis x, y;
  double place_x(double value) const { return kLeft + (value - x.low) / (x.high - x.low) * (kWidth - kLeft - kRight); }
  double place_y(double value) const {
    const double part = std::clamp((value - y.low) / (y.high - y.low), 0.0, 1.0);
    return kTop + (1 - part) * (kHeight - kTop - kBottom);
  }
  std::string value_text(double value) const { return chart.percent ? fraction_text(value) : quantity_text(value); }

  std::string axes() const;
  std::string best_mark() const;
  std::string curve(const ChartSeries& series, size_t number) const;
  std::string bar_row(const ChartSeries& series) const;
  std::string dots(const ChartSeries& series, size_t number, double radius) const;
};

std::string Plot::axes() const {
  std::string svg;
  for (const double tick : y.ticks)
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"end\" x=\"{}\" "
        "y=\"{:.1f}\">{}</text>",
        kLeft, kWidth - kRight, place_y(tick), place_y(tick), kLeft - 7, place_y(tick) + 4,
        tick_text(tick, y, chart.percent));
  for (const double tick : x.ticks)
    svg += fmt::format("<text class=\"middle\" x=\"{:.1f}\" y=\"{}\">{}</text>", place_x(tick), kHeight - kBottom + 17,
                       tick_text(tick, x, false));
  return svg + fmt::format("<text class=\"middle axis\" x=\"{:.1f}\" y=\"{}\">{}</text>", (kLeft + kWidth - kRight) / 2,
                           kHeight - 5, html_escaped(chart.x_title));
}

std::string Plot::best_mark() const {
  if (!chart.best || *chart.best < x.low || *chart.best > x.high) return "";
  const double at = place_x(*chart.best);
  const char* side = at > kWidth - 60 ? "end" : at < kLeft + 30 ? "start" : "middle";
  return fmt::format(
      "<line class=\"best\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/><text class=\"{3} axis\" "
      "x=\"{0:.1f}\" "
      "y=\"{4}\">best: {5:.0f}</text>",
      at, kTop, kHeight - kBottom, side, kTop - 7, *chart.best);
}

std::string Plot::curve(const ChartSeries& series, size_t number) const {
  std::string path;
  bool is_open = false;
  for (const auto& [at, value] : thinned(series.points)) {
    const bool finite = std::isfinite(at) && std::isfinite(value);
    if (finite) path += fmt::format("{}{:.1f} {:.1f}", is_open ? "L" : "M", place_x(at), place_y(value));
    is_open = finite;
  }
  std::string svg = path.empty() ? "" : fmt::format("<path class=\"line s{}\" d=\"{}\"/>", number, path);
  if (series.dots && series.points.size() <= kMostDots) svg += dots(series, number, 3);
  return svg;
}

std::string Plot::dots(const ChartSeries& series, size_t number, double radius) const {
  std::string svg;
  for (const auto& [at, value] : series.points)
    if (std::isfinite(at) && std::isfinite(value))
      svg += fmt::format(
          "<circle class=\"dot s{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{} {}: {}</title></circle>", number,
          place_x(at), place_y(value), radius, html_escaped(chart.x_title), quantity_text(at), value_text(value));
  return svg;
}

std::string Plot::bar_row(const ChartSeries& series) const {
  const double room = (kWidth - kLeft - kRight) / (x.high - x.low), width = std::clamp(room * 0.7, 0.8, 34.0);
  std::string svg;
  for (const auto& [at, value] : series.points)
    if (std::isfinite(value))
      svg += fmt::format(
          "<rect class=\"bar s0\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{} {}: "
          "{}</title></rect>",
          place_x(at) - width / 2, place_y(value), width, std::max(0.0, kHeight - kBottom - place_y(value)),
          html_escaped(chart.x_title), quantity_text(at), value_text(value));
  return svg;
}

// The range of y, without rare values far above the others; `cut` tells whether there are such.
std::pair<double, double> range_of(const Chart& chart, bool& cut) {
  std::vector<double> values;
  for (const ChartSeries& each : chart.series)
    for (const auto& [at, value] : each.points)
      if (std::isfinite(at) && std::isfinite(value)) values.push_back(value);
  if (values.empty()) return {NAN, NAN};
  std::ranges::sort(values);
  const double high = values.back(), usual = values[(values.size() - 1) * 98 / 100];
  cut = !chart.bars && !chart.scatter && values.size() > 50 && usual > 0 && high > kOutlier * usual;
  return {values.front(), cut ? usual * 1.2 : high};
}

}  // namespace

std::string html_chart(const Chart& chart) {
  bool cut = false;
  auto [low, high] = range_of(chart, cut);
  if (!std::isfinite(low)) return "";
  double first = INFINITY, last = -INFINITY;
  for (const ChartSeries& each : chart.series)
    for (const auto& point : each.points)
      if (std::isfinite(point.first)) first = std::min(first, point.first), last = std::max(last, point.first);
  if (chart.from_zero || chart.bars) low = std::min(low, 0.0);
  if ((chart.from_zero || chart.bars) && high <= 0) high = 1;
  if (chart.scatter) first = low = std::min(first, low), last = high = std::max(last, high);
  if (!chart.scatter && (chart.bars || first == last)) first -= 0.5, last += 0.5;
  Plot plot{chart, axis_of(first, last, 7, !chart.scatter), rounded_axis(low, high, 5)};
  if (chart.percent) plot.y.high = std::min(plot.y.high, 1.0);
  std::string data;
  for (size_t i = 0; i < chart.series.size(); ++i)
    data += chart.bars      ? plot.bar_row(chart.series[i])
            : chart.scatter ? plot.dots(chart.series[i], i, 2.5)
                            : plot.curve(chart.series[i], i);
  if (chart.scatter) {
    const double from = std::max(plot.x.low, plot.y.low), to = std::min(plot.x.high, plot.y.high);
    data = fmt::format("<line class=\"best\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                       plot.place_x(from), plot.place_y(from), plot.place_x(to), plot.place_y(to)) +
           data;
  }
  std::string legend;
  for (size_t i = 0; chart.series.size() > 1 && i < chart.series.size(); ++i)
    legend += fmt::format("<span class=\"key s{}\">{}</span>", i, html_escaped(chart.series[i].name));
  return fmt::format(
      "<figure class=\"card chart\"><figcaption><b>{0}</b>{1}<span class=\"legend\">{2}</span></figcaption>"
      "<svg viewBox=\"0 0 {3} {4}\" role=\"img\" aria-label=\"{0}\">{5}{6}{7}</svg></figure>\n",
      html_escaped(chart.title),
      html_escaped((chart.y_title.empty() ? "" : ", " + chart.y_title) + (cut ? " (peaks cut off)" : "")), legend,
      kWidth, kHeight, plot.axes(), plot.best_mark(), data);
}

}  // namespace engine
