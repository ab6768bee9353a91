#include "train/html_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "train/html_charts.h"
#include "train/html_text.h"
#include "train/model_card.h"

namespace engine {
namespace {

using Json = RunRecord::Json;

constexpr const char* kMiddot = " \u00b7 ";

std::string capital(std::string text) {
  const auto is_small = [](char each) { return each >= 'a' && each <= 'z'; };
  if (text.size() > 1 && is_small(text[0]) && (is_small(text[1]) || text[1] == ' '))
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string tile(const std::string& title, const std::string& value, const std::string& note = "") {
  return fmt::format("<div class=\"card tile\"><span>{}</span><b>{}</b>{}</div>", html_escaped(title),
                     html_escaped(value), note.empty() ? "" : fmt::format("<small>{}</small>", html_escaped(note)));
}

// The 95 % interval of Wilson (1927) for `right` of `all`.
std::pair<double, double> interval(double right, double all) {
  const double z = 1.96, p = right / all, scale = 1 + z * z / all;
  const double middle = (p + z * z / (2 * all)) / scale;
  const double reach = z / scale * std::sqrt(p * (1 - p) / all + z * z / (4 * all * all));
  return {std::max(0.0, middle - reach), std::min(1.0, middle + reach)};
}

std::string part_of(const Json& judged) { return text_in(judged, "kind") == "test" ? "test" : "validation"; }

// How sure the first figure is, and what it is to be compared with.
std::string verdict_text(const ReportView& view) {
  const Json& judged = view.run.judged;
  const auto clips = static_cast<double>(count_in(judged, "clips"));
  const double score = number_in(judged, view.score().key);
  const std::string part = part_of(judged);
  if (view.head != Head::classification || !(clips > 0) || !std::isfinite(score))
    return fmt::format("on {} {} clips{}", grouped(count_in(judged, "clips")), part,
                       view.head == Head::regression
                           ? ". 1 is exact, 0 is what always saying the mean of these clips would give"
                           : "");
  const auto [low, high] = interval(score * clips, clips);
  double most = 0;
  for (const Json& row : view.rows()) most = std::max(most, number_in(row, "clips"));
  return fmt::format(
      "{:.0f} of {:.0f} {} clips are right. The 95 % interval for so many clips is {:.0f} to {:.0f} %; always saying "
      "the "
      "most frequent class would give {:.0f} %.",
      score * clips, clips, part, 100 * low, 100 * high, 100 * most / clips);
}

std::string state_text(const RunRecord& run, bool& bad) {
  const std::string state = text_in(run.end, "state"), why = text_in(run.end, "why");
  bad = !run.end.is_null() && state != "done";
  if (run.end.is_null()) return "in training, or killed";
  return why.empty() ? state : concat(state, ": ", why);
}

struct Totals {
  double wait = 0, seconds = 0, speed = 0;  // speed: clips a second, mean over the epochs
};
Totals totals_of(const RunRecord& run) {
  Totals totals;
  for (const Json& epoch : run.epochs) {
    totals.wait += std::max(0.0, number_in(in(epoch, "loader"), "wait_seconds"));
    totals.seconds += std::max(0.0, number_in(epoch, "seconds"));
    totals.speed += std::max(0.0, number_in(epoch, "clips_per_second")) / static_cast<double>(run.epochs.size());
  }
  return totals;
}

// Values of all epochs, by their numbers.
std::vector<std::pair<double, double>> by_epoch(const RunRecord& run, const std::string& key) {
  std::vector<std::pair<double, double>> points;
  for (const Json& epoch : run.epochs) points.emplace_back(number_in(epoch, "epoch"), number_in(epoch, key));
  return points;
}

std::vector<std::pair<double, double>> by_step(const RunRecord& run, const std::string& key) {
  std::vector<std::pair<double, double>> points;
  for (const Json& step : run.steps) points.emplace_back(number_in(step, "step"), number_in(step, key));
  return points;
}

bool any_finite(const std::vector<std::pair<double, double>>& points) {
  return std::ranges::any_of(points, [](const auto& point) { return std::isfinite(point.second); });
}

std::string definition(const std::string& term, const std::string& html) {
  return html.empty() ? "" : fmt::format("<dt>{}</dt><dd>{}</dd>", html_escaped(term), html);
}

std::string names_text(const std::vector<std::string>& names) {
  constexpr size_t kMost = 40;
  std::string text;
  for (size_t i = 0; i < std::min(kMost, names.size()); ++i) text += (i > 0 ? ", " : "") + names[i];
  return names.size() > kMost ? fmt::format("{} and {} more", text, names.size() - kMost) : text;
}

std::string triple(const Json& values) {
  std::string text;
  for (const Json& each : values)
    if (each.is_number()) text += fmt::format("{}{:g}", text.empty() ? "" : ", ", each.get<double>());
  return text;
}

}  // namespace

ReportView view_of(const RunRecord& run) {
  ReportView view{.run = run, .outputs = {}, .terms = {}};
  for (const auto& [name, head] : kHeadNames)
    if (text_in(run.start, "head") == name) view.head = head;
  for (const Json& each : in(run.start, "outputs"))
    if (each.is_string()) view.outputs.push_back(each.get<std::string>());
  const size_t count = view.outputs.size();
  ModelFile model;
  model.head = view.head;
  model.classes = view.outputs;
  if (view.head == Head::regression) model.targets = {std::vector<double>(count, 0.0), std::vector<double>(count, 1.0)};
  view.terms = make_metrics(model)->result();
  return view;
}

Json ReportView::best_epoch() const {
  Json best;
  for (const Json& epoch : run.epochs)
    if (in(epoch, "best") == true) best = epoch;
  return best;
}

std::string shown(const Figure& figure, double value) {
  if (!std::isfinite(value)) return fraction_text(value);
  if (figure.kind == Figure::Kind::count) return grouped(std::llround(value));
  return figure.kind == Figure::Kind::fraction && figure.key != "r2" ? fraction_text(value) : quantity_text(value);
}

std::string header_section(const ReportView& view) {
  const RunRecord& run = view.run;
  bool bad = false;
  const std::string state = state_text(run, bad);
  const Json best = view.best_epoch();
  const Totals totals = totals_of(run);
  const Figure& score = view.score();
  std::string headline;
  if (!run.judged.is_null())
    headline = fmt::format(
        "<div class=\"card headline\"><span class=\"soft\">{} {}</span><div class=\"figure\">{}</div><p>{}</p></div>",
        capital(part_of(run.judged)), score.title, html_escaped(shown(score, number_in(run.judged, score.key))),
        html_escaped(verdict_text(view)));
  else if (!best.is_null())
    headline = fmt::format(
        "<div class=\"card headline\"><span class=\"soft\">Training loss</span><div class=\"figure\">{}</div><p>The "
        "data have "
        "no validation part, so nothing is known yet about other clips.</p></div>",
        quantity_text(number_in(best, "train_loss")));
  std::string tiles;
  if (!best.is_null())
    tiles += tile("Best epoch", fmt::format("{} of {}", count_in(best, "epoch"), run.epochs.size()),
                  std::isfinite(number_in(best, score.key))
                      ? fmt::format("validation {} {}", score.title, shown(score, number_in(best, score.key)))
                      : "the lowest training loss");
  for (size_t i = 1; i < view.terms.figures.size() && i < 3; ++i) {
    const Figure& figure = view.terms.figures[i];
    if (std::isfinite(number_in(run.judged, figure.key)))
      tiles += tile(capital(figure.title), shown(figure, number_in(run.judged, figure.key)), part_of(run.judged));
  }
  if (std::isfinite(number_in(run.judged, "loss")))
    tiles += tile("Loss", quantity_text(number_in(run.judged, "loss")), part_of(run.judged));
  if (!run.epochs.empty()) {
    tiles += tile("Time", duration_text(run.seconds),
                  fmt::format("{} an epoch", duration_text(totals.seconds / static_cast<double>(run.epochs.size()))));
    tiles += tile("Clips a second", fmt::format("{:.4g}", totals.speed), "in training");
    if (totals.seconds > 0)
      tiles +=
          tile("Waiting for clips", fmt::format("{:.0f} %", 100 * totals.wait / totals.seconds), "of the epochs' time");
  }
  tiles += tile("Parameters", grouped(count_in(run.start, "parameters")), text_in(run.start, "model"));
  const std::string time = text_in(run.start, "time");
  return fmt::format(
      "<header><h1>{}<span class=\"pill{}\">{}</span></h1><p class=\"sub\">{}</p></header>\n<div "
      "class=\"verdict\"{}>{}<div "
      "class=\"tiles\">{}</div></div>\n",
      html_escaped(run.name), bad ? " bad" : "", html_escaped(state),
      html_escaped(fmt::format("{} on {}{}{}", text_in(run.start, "model"), text_in(run.start, "data"),
                               time.empty() ? "" : kMiddot,
                               time.substr(0, 10) + (time.size() > 16 ? " " + time.substr(11, 5) + " UTC" : ""))),
      headline.empty() ? " style=\"grid-template-columns:1fr\"" : "", headline, tiles);
}

std::string curves_section(const ReportView& view) {
  const RunRecord& run = view.run;
  std::optional<double> best;
  if (const Json line = view.best_epoch(); !line.is_null() && run.epochs.size() > 1) best = number_in(line, "epoch");
  std::string charts;
  std::vector<ChartSeries> losses = {{"training", by_epoch(run, "train_loss"), true}};
  if (any_finite(by_epoch(run, "val_loss"))) losses.push_back({"validation", by_epoch(run, "val_loss"), true});
  charts += html_chart(
      {.title = "Loss", .x_title = "epoch", .y_title = "mean over the clips", .series = losses, .best = best});
  // Figures of one scale share a chart.
  for (const Figure::Kind kind : {Figure::Kind::fraction, Figure::Kind::quantity}) {
    Chart chart{.title = "Validation",
                .x_title = "epoch",
                .y_title = {},
                .series = {},
                .percent = kind == Figure::Kind::fraction && view.head != Head::regression,
                .best = best};
    for (const Figure& figure : view.terms.figures) {
      const auto points = by_epoch(run, figure.key);
      const auto is_same = [&](const ChartSeries& other) {  // mean class recall, where classes are equally large
        return std::ranges::equal(other.points, points, [](const auto& a, const auto& b) {
          return std::abs(a.second - b.second) < 1e-9 || (std::isnan(a.second) && std::isnan(b.second));
        });
      };
      if (figure.kind == kind && chart.series.size() < 4 && any_finite(points) &&
          std::ranges::none_of(chart.series, is_same))
        chart.series.push_back({figure.title, points, true});
    }
    if (chart.series.size() == 1) chart.title += " " + chart.series[0].name;
    charts += html_chart(chart);
  }
  const auto steps = by_step(run, "loss");
  if (steps.size() > 1)
    charts += html_chart(
        {.title = "Loss of each step", .x_title = "step", .y_title = {}, .series = {{"loss", steps, false}}});
  if (steps.size() > 1)
    charts += html_chart({.title = "Learning rate",
                          .x_title = "step",
                          .y_title = {},
                          .series = {{"rate", by_step(run, "learning_rate"), false}},
                          .from_zero = true});
  charts += html_chart({.title = "Speed",
                        .x_title = "epoch",
                        .y_title = "clips a second in training",
                        .series = {{"speed", by_epoch(run, "clips_per_second"), false}},
                        .bars = true});
  ChartSeries waiting{.name = "waiting", .points = {}};
  for (const Json& epoch : run.epochs)
    waiting.points.emplace_back(number_in(epoch, "epoch"),
                                number_in(in(epoch, "loader"), "wait_seconds") / number_in(epoch, "seconds"));
  charts += html_chart({.title = "Waiting for clips",
                        .x_title = "epoch",
                        .y_title = "share of the epoch",
                        .series = {waiting},
                        .percent = true,
                        .bars = true});
  return charts.empty() ? "" : fmt::format("<div class=\"charts\">{}</div>\n", charts);
}

std::string model_section(const ReportView& view) {
  const Json& start = view.run.start;
  const Json &input = in(start, "input"), &clips = in(start, "clips");
  const KnownModel* known = nullptr;
  const std::string name = text_in(start, "model"), size = text_in(in(start, "model_options"), "size");
  for (const KnownModel& each : known_models())
    if (each.name == name && known == nullptr) known = &each;
  std::string options;
  for (const auto& [key, value] : in(start, "model_options").items())
    if (value.is_string())
      options += fmt::format("{}{} {}", options.empty() ? "" : ", ", key, value.get<std::string>());
  const Json best = view.best_epoch();
  const std::string word = output_word(view.head, true);
  std::string how = fmt::format(
      "{} frames of {} x {} pixels, {}, {}", count_in(input, "frames"), count_in(input, "width"),
      count_in(input, "height"), text_in(input, "what"),
      text_in(input, "sampling") == "dense"
          ? fmt::format("every {} of the video{}",
                        count_in(input, "stride") == 1 ? "frame" : fmt::format("{}th frame", count_in(input, "stride")),
                        number_in(input, "fps") > 0 ? fmt::format(" at {:g} a second", number_in(input, "fps")) : "")
          : "spread over the whole video");
  std::string list = definition("Model", html_escaped(name + (options.empty() ? "" : " (" + options + ")")));
  if (known != nullptr) list += definition("What it is", html_escaped(known->what));
  list += definition("Parameters", grouped(count_in(start, "parameters")));
  list += definition("Input", html_escaped(how));
  list += definition("Pixels", html_escaped(fmt::format("0 to 1, less ({}), by ({})", triple(in(input, "mean")),
                                                        triple(in(input, "deviation")))));
  list += definition(capital(word), html_escaped(fmt::format("{}: {}", view.outputs.size(), names_text(view.outputs))));
  list += definition("Data", html_escaped(text_in(start, "data")));
  list += definition(
      "Clips",
      html_escaped(fmt::format("{} for training, {} for validation, {} for testing", grouped(count_in(clips, "train")),
                               grouped(count_in(clips, "val")), grouped(count_in(clips, "test")))));
  list += definition("Split", html_escaped(text_in(start, "split")));
  if (!best.is_null())
    list += definition("Chosen", html_escaped(fmt::format("epoch {}, for the {}", count_in(best, "epoch"),
                                                          std::isfinite(number_in(best, view.score().key))
                                                              ? "best validation " + view.score().title
                                                              : "lowest training loss")));
  if (!view.run.judged.is_null())
    list += definition(
        "Judged on", html_escaped(fmt::format("{} {} clips of these data; clips from elsewhere may be harder",
                                              grouped(count_in(view.run.judged, "clips")), part_of(view.run.judged))));
  list += definition("Seed", fmt::format("{}", count_in(start, "seed")));
  const std::string model = view.run.name + "/best.safetensors";
  return fmt::format(
      "<div class=\"two\"><div class=\"card\"><dl>{}</dl></div><div class=\"card\"><h3>To use "
      "it</h3><pre>engine_predict classify {} "
      "new.mp4\nengine_predict eval {} DATA</pre></div></div>\n",
      list, html_escaped(model), html_escaped(model));
}

std::string settings_section(const ReportView& view) {
  std::string groups, help, rows;
  std::string title;
  const auto finish = [&] {
    if (!rows.empty()) groups += fmt::format("<section><h3>{}</h3><dl>{}</dl></section>", html_escaped(title), rows);
    rows.clear();
  };
  std::string_view text = view.run.config;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t equals = line.find(" = ");
    if (line.starts_with("# ")) {
      help = line.substr(2);
    } else if (line.starts_with("[") && line.ends_with("]")) {
      finish();
      title = line.substr(1, line.size() - 2);
    } else if (equals != std::string_view::npos) {
      rows += fmt::format("<dt title=\"{}\">{}</dt><dd>{}</dd>", html_escaped(help),
                          html_escaped(line.substr(0, equals)), html_escaped(line.substr(equals + 3)));
    }
  }
  finish();
  return groups.empty() ? ""
                        : fmt::format(
                              "<div class=\"card\"><details><summary>All settings, as in config.toml</summary><div "
                              "class=\"settings\" style=\"margin-top:14px\">{}</div></details></div>\n",
                              groups);
}

std::string environment_section(const ReportView& view) {
  static const std::map<std::string, std::string> kProper = {
      {"onednn", "oneDNN"}, {"ffmpeg", "FFmpeg"}, {"cuda", "CUDA"}, {"memory_gib", "Memory, GiB"}};
  std::string rows;
  for (const auto& [key, value] : view.run.environment.items()) {
    const auto own = kProper.find(key);
    std::string name = own != kProper.end() ? own->second : capital(key);
    std::ranges::replace(name, '_', ' ');
    rows += definition(name, html_escaped(value.is_string() ? value.get<std::string>() : value.dump()));
  }
  std::string cards = rows.empty() ? "" : fmt::format("<div class=\"card\"><dl>{}</dl></div>", rows);
  if (!view.run.command.empty())
    cards += fmt::format("<div class=\"card\"><h3>Command</h3><pre>{}</pre></div>", html_escaped(view.run.command));
  return cards.empty() ? "" : fmt::format("<div class=\"two\">{}</div>\n", cards);
}

std::string notes_section(const ReportView& view) {
  constexpr size_t kMost = 20;
  std::string items;
  for (size_t i = 0; i < std::min(kMost, view.run.warnings.size()); ++i) {
    const Json& line = view.run.warnings[i];
    items += fmt::format("<dt>epoch {}</dt><dd>{}</dd>", count_in(line, "epoch"), html_escaped(text_in(line, "text")));
  }
  if (view.run.warnings.size() > kMost)
    items += fmt::format("<dt></dt><dd>and {} more</dd>", view.run.warnings.size() - kMost);
  return items.empty() ? "" : fmt::format("<div class=\"card\"><dl>{}</dl></div>\n", items);
}

}  // namespace engine
