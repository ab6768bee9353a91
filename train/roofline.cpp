#include "train/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

namespace engine {
namespace {

constexpr std::string_view kAccumulate = "accumulate";

struct Totals {
  std::map<std::pair<std::string_view, std::string_view>, RooflineRow> rows;
  double waiting = 0, seconds = 0, calls = 0, host = 0;
};

// Adds a pass that took `seconds` on the device and `host` on the host without the passes inside it.
void add_pass(const SeenPass& seen, double seconds, double host, const Ceilings& ceilings, Totals& totals) {
  const std::string_view op = seen.pass.op;
  totals.seconds += seconds;
  if (op == kWaitForClips) {
    totals.waiting += seconds;
    return;
  }
  const std::string_view layer = op == kAccumulate ? "" : seen.pass.layer;
  RooflineRow& row = totals.rows[{layer, op}];
  row.layer = layer, row.op = op;
  row.calls += 1;
  (seen.pass.backward ? row.backward : row.forward) += seconds;
  row.host += host;
  row.flop += seen.pass.flop;
  row.bytes += seen.bytes;
  const double products = seen.pass.flop / ceilings.flop_per_second, memory = seen.bytes / ceilings.bytes_per_second;
  row.by_products += products, row.by_memory += memory, row.by_calls += ceilings.op_seconds;
  row.floor += std::max({products, memory, ceilings.op_seconds});
  totals.calls += 1;
  totals.host += host;
}

struct Advice {
  double gain;  // seconds of a step
  std::string text;
};

std::string named(const RooflineRow& row) {
  return row.layer.empty() ? row.op : fmt::format("{} of {}", row.op, row.layer);
}

std::string share_text(double part, double whole) { return fmt::format("{:.1f} %", 100 * part / whole); }
std::string ms(double seconds) { return fmt::format("{:.3g} ms", 1e3 * seconds); }

std::string gain_text(const RooflineRow& row, double step) {
  const std::string_view bound = row.bound();
  std::string why = bound == "products" ? "products: what it computes would take"
                    : bound == "memory" ? "memory: to read and write its operands once would take"
                                        : "calls: ops as small as these would take";
  std::string what = bound == "products" ? "fewer channels or places, or bf16 where the device has it"
                     : bound == "memory" ? "do it in the kernel of its neighbour, or on narrower types"
                                         : "a larger --batch, or fewer and larger ops";
  return fmt::format("{}: {} ({} of the step) at {} of its ceiling. Bound by {} {}; {}", named(row), ms(row.seconds()),
                     share_text(row.seconds(), step), share_text(row.floor, row.seconds()), why, ms(row.floor), what);
}

}  // namespace

const char* RooflineRow::bound() const {
  if (by_calls >= std::max(by_products, by_memory)) return "calls";
  return by_products >= by_memory ? "products" : "memory";
}

Roofline roofline(const StepProfile& profile, const Ceilings& ceilings) {
  Roofline result{.device = concat(profile.device), .ceilings = ceilings, .steps = profile.steps, .rows = {}};
  if (profile.steps == 0) return result;
  // What is inside a pass is that inner pass's time.
  std::vector<double> inner(profile.passes.size()), inner_host(profile.passes.size());
  for (const SeenPass& seen : profile.passes) {
    if (seen.inside < 0) continue;
    inner[static_cast<size_t>(seen.inside)] += seen.end - seen.begin;
    inner_host[static_cast<size_t>(seen.inside)] += seen.host_end - seen.host_begin;
  }
  Totals totals;
  for (size_t i = 0; i < profile.passes.size(); ++i) {
    const SeenPass& seen = profile.passes[i];
    add_pass(seen, seen.end - seen.begin - inner[i], seen.host_end - seen.host_begin - inner_host[i], ceilings, totals);
  }
  const auto steps = static_cast<double>(profile.steps);
  result.step = profile.seconds / steps;
  result.unprofiled = profile.unprofiled_seconds;
  result.waiting = totals.waiting / steps;
  result.between = (profile.seconds - totals.seconds) / steps;
  result.ops = totals.calls / steps;
  result.host = totals.host / steps;
  for (auto& [key, row] : totals.rows) {
    for (double* each : {&row.calls, &row.forward, &row.backward, &row.host, &row.flop, &row.bytes, &row.floor,
                         &row.by_products, &row.by_memory, &row.by_calls})
      *each /= steps;
    result.rows.push_back(row);
  }
  std::ranges::stable_sort(result.rows, std::greater(), &RooflineRow::seconds);
  return result;
}

std::vector<std::string> worth_fixing(const Roofline& r) {
  std::vector<Advice> all;
  if (r.waiting > 0)
    all.push_back(
        {r.waiting, fmt::format("waiting for clips: {} ({} of the step). More --workers, a smaller --size, or "
                                "videos prepared with engine_data extract or shard",
                                ms(r.waiting), share_text(r.waiting, r.step))});
  if (r.between > 0 && r.ops > 0)
    all.push_back(
        {r.between, fmt::format("between ops: {} ({} of the step), {:.1f} us for each of {:.0f} ops. A larger "
                                "--batch makes ops larger and not more",
                                ms(r.between), share_text(r.between, r.step), 1e6 * r.between / r.ops, r.ops)});
  for (const RooflineRow& row : r.rows)
    all.push_back({std::max(0.0, row.seconds() - row.floor), gain_text(row, r.step)});
  std::ranges::stable_sort(all, std::greater(), &Advice::gain);
  std::vector<std::string> texts;
  for (const Advice& each : all)
    if (texts.size() < 3 && each.gain > 0) texts.push_back(each.text);
  return texts;
}

}  // namespace engine
