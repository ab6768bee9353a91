// The part of the report about where the time of a profiled run went.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "train/html_sections.h"
#include "train/html_text.h"

namespace engine {
namespace {

using Json = RunRecord::Json;

constexpr size_t kMostRows = 40;

std::string milliseconds(double seconds) { return seconds > 0 ? fmt::format("{:.3f}", 1e3 * seconds) : ""; }
std::string percent(double part) { return std::isfinite(part) ? fmt::format("{:.0f} %", 100 * part) : "\u2013"; }

std::string amount(double value) { return value > 0 ? quantity_text(value) : ""; }

// In what the row is bound by.
std::string rate(const Json& row, double seconds) {
  const std::string bound = text_in(row, "bound");
  if (bound == "products") return quantity_text(number_in(row, "flop") / seconds / 1e9) + " GFLOP/s";
  if (bound == "memory") return quantity_text(number_in(row, "bytes") / seconds / 1e9) + " GB/s";
  return quantity_text(1e6 * seconds / number_in(row, "calls")) + " us a call";
}

std::string share_cell(double share) {
  return fmt::format(
      "<td class=\"n\"><span class=\"meter\"><i style=\"width:{:.0f}%\"></i></span><span class=\"value\">{:.1f} "
      "%</span></td>",
      std::clamp(100 * share, 0.0, 100.0), 100 * share);
}

std::string table_row(const Json& row, double step) {
  const double forward = number_in(row, "forward_seconds"), backward = number_in(row, "backward_seconds");
  return fmt::format(
      "<tr><th>{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>{}<td class=\"n\">{}</td><td "
      "class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
      html_escaped(text_in(row, "layer")), html_escaped(text_in(row, "op")), milliseconds(forward),
      milliseconds(backward), share_cell((forward + backward) / step), amount(number_in(row, "flop") / 1e9),
      amount(number_in(row, "bytes") / 1e6), rate(row, forward + backward), percent(number_in(row, "of_ceiling")),
      html_escaped(text_in(row, "bound")));
}

std::string sum_row(const std::string& name, double seconds, double step) {
  return fmt::format(
      "<tr><th>{}</th><td></td><td class=\"n\">{}</td><td></td>{}<td></td><td></td><td></td><td></td><td></td></tr>\n",
      html_escaped(name), milliseconds(seconds), share_cell(seconds / step));
}

}  // namespace

std::string profile_section(const ReportView& view) {
  const Json& profile = view.run.profile;
  const double step = number_in(profile, "step_seconds");
  if (!(step > 0)) return "";
  std::string body;
  size_t told = 0;
  double others = 0;
  for (const Json& row : in(profile, "rows")) {
    if (told < kMostRows)
      body += table_row(row, step), ++told;
    else
      others += number_in(row, "forward_seconds") + number_in(row, "backward_seconds");
  }
  if (others > 0) body += sum_row("all others", others, step);
  body += sum_row("waiting for clips", number_in(profile, "waiting_seconds"), step);
  body += sum_row("between ops", number_in(profile, "between_seconds"), step);
  std::string advice;
  for (const Json& each : in(profile, "worth_fixing"))
    if (each.is_string()) advice += fmt::format("<li>{}</li>", html_escaped(each.get<std::string>()));
  return fmt::format(
      "<div class=\"card\"><p>A step takes {:.3f} ms (mean of {} on {}; {:.3f} ms before the profile). Ceilings "
      "measured on this machine: copying {} GB/s, products {} GFLOP/s.</p>\n<h3>Worth fixing first</h3><ol>{}</ol>\n"
      "<div class=\"scroll\"><table class=\"rows\"><thead><tr><th>layer</th><th>op</th><th class=\"n\">fwd "
      "ms</th><th class=\"n\">bwd ms</th><th class=\"n\">of the step</th><th class=\"n\">GFLOP</th><th "
      "class=\"n\">MB</th><th "
      "class=\"n\">rate</th><th class=\"n\">of ceiling</th><th>bound "
      "by</th></tr></thead><tbody>\n{}</tbody></table></div></div>\n",
      1e3 * step, count_in(profile, "steps"), html_escaped(text_in(profile, "device")),
      1e3 * number_in(profile, "unprofiled_seconds"), quantity_text(number_in(profile, "copy_bytes_per_second") / 1e9),
      quantity_text(number_in(profile, "products_flop_per_second") / 1e9), advice, body);
}

}  // namespace engine
