// The parts of the report about classes, targets and labels, and about single clips.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "train/html_charts.h"
#include "train/html_sections.h"
#include "train/html_text.h"

namespace engine {
namespace {

using Json = RunRecord::Json;
using Matrix = std::vector<std::vector<int64_t>>;

constexpr size_t kMostInMatrix = 30, kFewInMatrix = 12, kMostRows = 400, kMostConfusions = 8;
constexpr size_t kMostPictureBytes = 3'300'000;  // of PNG; a third more as text

// Rows: labels; columns: predictions. Empty where the run has none, or one of another size.
Matrix matrix_of(const ReportView& view) {
  const Json& rows = in(view.run.judged, "confusion");
  Matrix matrix;
  for (const Json& row : rows) {
    std::vector<int64_t>& counts = matrix.emplace_back();
    for (const Json& count : row) counts.push_back(count.is_number_integer() ? count.get<int64_t>() : 0);
    if (counts.size() != view.outputs.size()) return {};
  }
  return matrix.size() == view.outputs.size() ? matrix : Matrix{};
}

int64_t sum(const std::vector<int64_t>& counts) { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }

// The classes that fit, in their order: all, or those with most mistakes.
std::vector<size_t> classes_shown(const Matrix& matrix) {
  std::vector<size_t> order(matrix.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (order.size() <= kMostInMatrix) return order;
  std::vector<int64_t> mistakes(matrix.size());
  for (size_t row = 0; row < matrix.size(); ++row)
    for (size_t column = 0; column < matrix.size(); ++column)
      if (row != column) mistakes[row] += matrix[row][column], mistakes[column] += matrix[row][column];
  std::ranges::stable_sort(order, std::greater{}, [&](size_t i) { return mistakes[i]; });
  order.resize(kMostInMatrix);
  std::ranges::sort(order);
  return order;
}

std::string cut(const std::string& name) {
  constexpr size_t kMost = 22;
  if (name.size() <= kMost) return name;
  size_t end = kMost - 1;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end) + "\u2026";
}

std::string matrix_table(const ReportView& view, const Matrix& matrix) {
  const std::vector<size_t> shown_classes = classes_shown(matrix);
  std::string head, body;
  for (const size_t column : shown_classes)
    head += fmt::format("<th title=\"{}\"><span>{}</span></th>", html_escaped(view.outputs[column]),
                        html_escaped(cut(view.outputs[column])));
  for (const size_t row : shown_classes) {
    const int64_t all = sum(matrix[row]);
    body += fmt::format("<tr><th title=\"{}\">{}</th>", html_escaped(view.outputs[row]),
                        html_escaped(cut(view.outputs[row])));
    for (const size_t column : shown_classes) {
      const int64_t count = matrix[row][column];
      if (count == 0) {
        body += "<td class=\"o\"></td>";
        continue;
      }
      const double part = static_cast<double>(count) / static_cast<double>(all);
      body += fmt::format(
          "<td{} style=\"background:rgba(var(--{}),{:.2f})\" title=\"{}: {} of {} are taken for {}\">{}</td>",
          part > 0.5 ? " class=\"hi\"" : "", row == column ? "right" : "wrong", 0.1 + 0.85 * part,
          html_escaped(view.outputs[row]), count, all, html_escaped(view.outputs[column]), count);
    }
    body += "</tr>\n";
  }
  const std::string note =
      shown_classes.size() < matrix.size()
          ? fmt::format("<p class=\"soft\">The {} of {} classes with most mistakes; confusion.csv has all.</p>",
                        shown_classes.size(), matrix.size())
          : "";
  return fmt::format(
      "<div class=\"card\"><h3>Confusion matrix</h3>{}<div class=\"scroll\"><table class=\"matrix{}\"><thead><tr><th "
      "class=\"corner\">true \u2193 \u2003 predicted "
      "\u2192</th>{}</tr></thead><tbody>{}</tbody></table></div></div>",
      note, shown_classes.size() > kFewInMatrix ? " many" : "", head, body);
}

std::string confusions_table(const ReportView& view, const Matrix& matrix) {
  struct Confusion {
    int64_t count;
    size_t truth, prediction;
  };
  std::vector<Confusion> all;
  for (size_t row = 0; row < matrix.size(); ++row)
    for (size_t column = 0; column < matrix.size(); ++column)
      if (row != column && matrix[row][column] > 0) all.push_back({matrix[row][column], row, column});
  if (all.empty()) return "";
  std::ranges::stable_sort(all, std::greater{}, &Confusion::count);
  if (all.size() > kMostConfusions) all.resize(kMostConfusions);
  std::string body;
  for (const Confusion& each : all)
    body +=
        fmt::format("<tr><th>{}</th><td>{}</td><td class=\"n\">{}</td></tr>", html_escaped(view.outputs[each.truth]),
                    html_escaped(view.outputs[each.prediction]), grouped(each.count));
  return fmt::format(
      "<div class=\"card small\"><h3>Most frequent confusions</h3><div class=\"scroll\"><table "
      "class=\"rows\"><thead><tr><th>is</th><th>taken for</th><th class=\"n\">clips</th></tr></thead>"
      "<tbody>{}</tbody></table></div></div>",
      body);
}

// The harmonic mean of precision and recall; 0 where a class has samples or predictions but none in common.
double f1(double recall, double precision) {
  if (!std::isfinite(recall) && !std::isfinite(precision)) return NAN;
  const double r = std::isfinite(recall) ? recall : 0, p = std::isfinite(precision) ? precision : 0;
  return r + p > 0 ? 2 * r * p / (r + p) : 0;
}

std::string outputs_table(const ReportView& view) {
  if (view.terms.outputs.empty() || !view.rows().is_array() || view.rows().empty()) return "";
  std::vector<Figure> columns = view.terms.outputs.front();
  const bool with_f1 = view.head == Head::classification &&
                       std::ranges::none_of(columns, [](const Figure& each) { return each.key == "f1"; });
  if (with_f1) columns.push_back({"f1", "F1"});
  const std::string word = output_word(view.head);
  std::string head = fmt::format("<th>{}</th>", word), body;
  for (const Figure& each : columns)
    head += fmt::format("<th class=\"n\">{}</th>", html_escaped(each.key == "clips" ? "clips" : each.title));
  size_t shown_rows = 0;
  for (const Json& row : view.rows()) {
    if (shown_rows++ == kMostRows) break;
    body += fmt::format("<tr><th>{}</th>", html_escaped(text_in(row, "name")));
    bool has_meter = false;
    for (const Figure& each : columns) {
      const double value = each.key == "f1" && with_f1 ? f1(number_in(row, "recall"), number_in(row, "precision"))
                                                       : number_in(row, each.key);
      std::string meter;
      if (each.kind == Figure::Kind::fraction && !has_meter && std::isfinite(value) && value >= 0)
        meter = fmt::format("<span class=\"meter\"><i style=\"width:{:.0f}%\"></i></span>", 100 * std::min(value, 1.0)),
        has_meter = true;
      body += fmt::format("<td class=\"n\">{}<span class=\"value\">{}</span></td>", meter,
                          html_escaped(shown(each, value)));
    }
    body += "</tr>\n";
  }
  return fmt::format(
      "<div class=\"card\"><h3>Each {}</h3><div class=\"scroll\"><table "
      "class=\"rows\"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div></div>",
      word, head, body);
}

// Predictions over targets, of the first targets.
std::string scatter_charts(const ReportView& view) {
  constexpr size_t kMost = 6;
  std::string charts;
  size_t target = 0;
  for (const Json& points : in(view.run.mistakes, "points")) {
    if (target == std::min(kMost, view.outputs.size())) break;
    ChartSeries series{.name = view.outputs[target], .points = {}};
    for (const Json& point : points)
      if (point.is_array() && point.size() == 2 && point[0].is_number() && point[1].is_number())
        series.points.emplace_back(point[0].get<double>(), point[1].get<double>());
    charts += html_chart({.title = view.outputs[target],
                          .x_title = "target",
                          .y_title = "prediction over target",
                          .series = {series},
                          .scatter = true});
    ++target;
  }
  return charts;
}

// "wave 93.1 %", or "speed 1.25".
std::string said(const ReportView& view, const Json& outputs, bool with_values) {
  std::string text;
  for (const Json& each : outputs) {
    text += (text.empty() ? "" : ", ") + text_in(each, "name");
    const double value = number_in(each, "value");
    if (with_values)
      text += fmt::format(" {}", view.head == Head::regression ? quantity_text(value) : fraction_text(value));
  }
  return text.empty() ? "none" : text;
}

// The picture, so wide that its frames are not over 120 pixels high.
std::string strip_image(const std::string& png, const std::string& alt) {
  constexpr double kHigh = 120;
  const auto number = [&](size_t at) {  // big-endian, in the header of every PNG
    double value = 0;
    for (size_t i = at; i < at + 4 && i < png.size(); ++i) value = 256 * value + static_cast<unsigned char>(png[i]);
    return std::clamp(value, 1.0, 10000.0);
  };
  const std::string text = html_escaped(alt);
  return fmt::format("<img src=\"{}\" alt=\"{}\" title=\"{}\" style=\"--w:{:.0f}px\"/>", png_uri(png), text, text,
                     number(16) * kHigh / number(20));
}

std::string film(const ReportView& view, const Json& item, size_t& bytes) {
  const bool is_right = in(item, "right") == true, of_numbers = view.head == Head::regression;
  int count_of_pictures = 0;
  std::string pictures;
  for (const char* key : {"picture", "heat"}) {
    const std::string png = view.run.picture(text_in(item, key));
    if (png.empty() || bytes + png.size() > kMostPictureBytes) continue;
    bytes += png.size();
    const std::string alt = std::string(key) == "heat" ? concat("where the model looked: ", text_in(item, "method"))
                                                       : concat("frames of ", text_in(item, "clip"));
    ++count_of_pictures;
    pictures += strip_image(png, alt);
  }
  if (!pictures.empty()) pictures = fmt::format("<div class=\"strip\">{}</div>", pictures);
  const std::string mark = of_numbers ? ""
                           : is_right ? "<span class=\"yes\">\u2713 right</span>"
                                      : "<span class=\"no\">\u2717 wrong</span>";
  std::string frames;
  bool is_all = true;  // of a clip that is no longer than a strip
  for (const Json& frame : in(item, "frames")) {
    if (!frame.is_number_integer()) continue;
    const auto number = frame.get<int64_t>() + 1;
    is_all = is_all && number == std::ranges::count(frames, ',') + (frames.empty() ? 1 : 2);
    frames += fmt::format("{}{}", frames.empty() ? " \u00b7 frames " : ", ", number);
  }
  if (is_all) frames.clear();
  if (count_of_pictures == 2) frames += concat(" \u00b7 below: what counted for it, by ", text_in(item, "method"));
  return fmt::format(
      "<article class=\"card film\"><div class=\"says\">{}<span>says <b>{}</b></span><span>is "
      "<b>{}</b></span></div>{}<div class=\"name\">{}{}</div></article>\n",
      mark, html_escaped(said(view, in(item, "prediction"), true)),
      html_escaped(said(view, in(item, "truth"), of_numbers)), pictures, html_escaped(text_in(item, "clip")),
      pictures.empty() ? "" : html_escaped(frames));
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string cell(1, '"');
  for (const char each : text) cell.append(each == '"' ? 2 : 1, each);
  cell += '"';
  return cell;
}

}  // namespace

std::string confusion_section(const ReportView& view) {
  const Matrix matrix = matrix_of(view);
  const std::string charts = scatter_charts(view);
  std::string html = outputs_table(view);
  if (!matrix.empty())
    html = fmt::format("<div class=\"cards\">{}{}{}</div>", matrix_table(view, matrix), html,
                       confusions_table(view, matrix));
  if (!charts.empty()) html += fmt::format("<div class=\"charts\" style=\"margin-top:14px\">{}</div>", charts);
  return html.empty() ? "" : html + "\n";
}

std::string mistakes_section(const ReportView& view) {
  const Json& found = view.run.mistakes;
  if (!in(found, "items").is_array() || in(found, "items").empty()) return "";
  size_t bytes = 0;
  std::string films;
  for (const Json& item : in(found, "items")) films += film(view, item, bytes);
  const std::string part = text_in(found, "part") == "test" ? "test" : "validation";
  const int64_t clips = count_in(found, "clips"), wrong = count_in(found, "wrong");
  const std::string which =
      view.head == Head::regression
          ? fmt::format("Of {} {} clips those that are farthest off, by the deviations of the training targets.",
                        grouped(clips), part)
      : wrong == 0 ? fmt::format("None of {} {} clips is wrong. These are the ones that the model is least sure of.",
                                 grouped(clips), part)
      : view.head == Head::multilabel
          ? fmt::format("{} of {} {} clips have a wrong or a missing label. Those with the largest loss first.",
                        grouped(wrong), grouped(clips), part)
          : fmt::format("{} of {} {} clips {} wrong. The surest mistakes first{}.", grouped(wrong), grouped(clips),
                        part, wrong == 1 ? "is" : "are",
                        wrong < std::ssize(in(found, "items")) ? ", then what is right but least sure" : "");
  return fmt::format("<p class=\"soft\">{}</p><div class=\"films\">{}</div>\n", which, films);
}

std::string training_clips_section(const ReportView& view) {
  std::string films;
  if (!view.run.training_clips.is_array()) return "";
  for (const Json& each : view.run.training_clips) {
    const std::string png = view.run.picture(text_in(each, "picture"));
    if (png.empty() || png.size() > kMostPictureBytes / 16) continue;
    const std::string label = text_in(each, "label");
    films += fmt::format(
        "<article class=\"card film\"><div class=\"says\"><b>{}</b></div><div class=\"strip\">{}</div></article>\n",
        html_escaped(label), strip_image(png, concat("a training clip: ", label)));
  }
  if (films.empty()) return "";
  return fmt::format(
      "<p class=\"soft\">Clips of the first batch with their labels, cut, scaled and varied as in training.</p><div "
      "class=\"films\">{}</div>\n",
      films);
}

std::string confusion_csv(const ReportView& view) {
  const Matrix matrix = matrix_of(view);
  if (matrix.empty()) return "";
  std::string text = "label";
  for (const std::string& name : view.outputs) text += concat(",", csv_cell(name));
  text += "\n";
  for (size_t row = 0; row < matrix.size(); ++row) {
    text += csv_cell(view.outputs[row]);
    for (const int64_t count : matrix[row]) text += fmt::format(",{}", count);
    text += "\n";
  }
  return text;
}

}  // namespace engine
