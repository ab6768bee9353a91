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

std::string table_row(const Json& row, double step) {
  const double forward = number_in(row, "forward_seconds"), backward = number_in(row, "backward_seconds");
  const double share = (forward + backward) / step;
  return fmt::format(
      "<tr><th>{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td><span class=\"meter\"><i "
      "style=\"width:{:.0f}%\"></i></span><span class=\"value\">{:.1f} %</span></td><td class=\"n\">{}</td><td "
      "class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
      html_escaped(text_in(row, "layer")), html_escaped(text_in(row, "op")), milliseconds(forward),
      milliseconds(backward), std::clamp(100 * share, 0.0, 100.0), 100 * share,
      quantity_text(number_in(row, "flop") / 1e9), quantity_text(number_in(row, "bytes") / 1e6),
      percent(number_in(row, "of_ceiling")), html_escaped(text_in(row, "bound")));
}

std::string sum_row(const std::string& name, double seconds, double step) {
  return fmt::format(
      "<tr><th>{}</th><td></td><td class=\"n\">{}</td><td></td><td><span class=\"meter\"><i "
      "style=\"width:{:.0f}%\"></i></span><span class=\"value\">{:.1f} %</span></td><td></td><td></td><td></td>"
      "<td></td></tr>\n",
      html_escaped(name), milliseconds(seconds), std::clamp(100 * seconds / step, 0.0, 100.0), 100 * seconds / step);
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
      "<div class=\"scroll\"><table class=\"rows\"><thead><tr><th>layer</th><th>op</th><th class=\"n\">forward "
      "ms</th><th class=\"n\">backward ms</th><th>of the step</th><th class=\"n\">GFLOP</th><th class=\"n\">MB</th><th "
      "class=\"n\">of ceiling</th><th>bound by</th></tr></thead><tbody>\n{}</tbody></table></div></div>\n",
      1e3 * step, count_in(profile, "steps"), html_escaped(text_in(profile, "device")),
      1e3 * number_in(profile, "unprofiled_seconds"), quantity_text(number_in(profile, "copy_bytes_per_second") / 1e9),
      quantity_text(number_in(profile, "products_flop_per_second") / 1e9), advice, body);
}

}  // namespace engine
