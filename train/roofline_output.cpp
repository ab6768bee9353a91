#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "train/roofline.h"

namespace engine {
namespace {

using Json = nlohmann::ordered_json;

// What the row's bound is measured in.
std::string rate_text(const RooflineRow& row) {
  const std::string_view bound = row.bound();
  if (bound == "products") return fmt::format("{:.4g} GFLOP/s", row.flop / row.seconds() / 1e9);
  if (bound == "memory") return fmt::format("{:.3g} GB/s", row.bytes / row.seconds() / 1e9);
  return fmt::format("{:.3g} us a call", 1e6 * row.seconds() / row.calls);
}

std::string table_line(const RooflineRow& row, double step, size_t layer_width, size_t op_width) {
  const std::string backward = row.backward > 0 ? fmt::format("{:.3f}", 1e3 * row.backward) : "";
  return fmt::format("{:<{}}  {:<{}}  {:>5.0f}  {:>9.3f}  {:>9}  {:>6.1f}  {:>8.3g}  {:>8.3g}  {:>16}  {:>7.0f}  {}\n",
                     row.layer, layer_width, row.op, op_width, row.calls, 1e3 * row.forward, backward,
                     100 * row.seconds() / step, row.flop / 1e9, row.bytes / 1e6, rate_text(row),
                     100 * row.of_ceiling(), row.bound());
}

std::string sum_line(const std::string& name, double seconds, double step, size_t width) {
  return fmt::format("{:<{}}  {:>9.3f}  {:>9}  {:>6.1f}\n", name, width, 1e3 * seconds, "", 100 * seconds / step);
}

size_t widest(const std::vector<RooflineRow>& rows, std::string RooflineRow::*text, size_t width) {
  for (const RooflineRow& row : rows) width = std::max(width, (row.*text).size());
  return width;
}

Json event(const char* phase, const std::string& name, int thread, double begin, double end) {
  return {{"ph", phase},   {"name", name},      {"pid", 1},
          {"tid", thread}, {"ts", 1e6 * begin}, {"dur", 1e6 * (end - begin)}};
}

Json thread_name(int thread, const char* name) {
  return {{"ph", "M"}, {"name", "thread_name"}, {"pid", 1}, {"tid", thread}, {"args", {{"name", name}}}};
}

}  // namespace

std::string to_text(const Roofline& r, size_t most_rows) {
  if (r.steps == 0) return "profile: there were no steps behind the warm-up\n";
  const size_t layers = widest(r.rows, &RooflineRow::layer, 5), ops = widest(r.rows, &RooflineRow::op, 2);
  std::string text = fmt::format("profile of {} steps on {}: {:.3f} ms a step", r.steps, r.device, 1e3 * r.step);
  if (r.unprofiled > 0) text += fmt::format(" ({:.3f} before the profile)", 1e3 * r.unprofiled);
  text +=
      fmt::format("\nceilings, measured: copy {:.4g} GB/s, products {:.4g} GFLOP/s, an op on one element {:.2g} us\n\n",
                  r.ceilings.bytes_per_second / 1e9, r.ceilings.flop_per_second / 1e9, 1e6 * r.ceilings.op_seconds);
  text += fmt::format("{:<{}}  {:<{}}  {:>5}  {:>9}  {:>9}  {:>6}  {:>8}  {:>8}  {:>16}  {:>7}  {}\n", "layer", layers,
                      "op", ops, "calls", "fwd ms", "bwd ms", "%", "GFLOP", "MB", "rate", "% of", "bound by");
  text += fmt::format("{:>{}}\n", "ceiling", layers + ops + 82);
  const size_t told = std::min(most_rows, r.rows.size());
  for (size_t i = 0; i < told; ++i) text += table_line(r.rows[i], r.step, layers, ops);
  const size_t width = layers + ops + 9;
  double others = 0;
  for (size_t i = told; i < r.rows.size(); ++i) others += r.rows[i].seconds();
  if (told < r.rows.size()) text += sum_line(fmt::format("{} more", r.rows.size() - told), others, r.step, width);
  text += sum_line("waiting for clips", r.waiting, r.step, width);
  text += sum_line(fmt::format("between ops, {:.1f} us each of {:.0f}", 1e6 * r.between / std::max(1.0, r.ops), r.ops),
                   r.between, r.step, width);
  text += sum_line("step", r.step, r.step, width);
  if (r.device != "cpu")
    text += fmt::format("the host took {:.3f} ms a step to queue ops, {:.1f} us each\n", 1e3 * r.host,
                        1e6 * r.host / std::max(1.0, r.ops));
  text += "\nworth fixing first\n";
  const std::vector<std::string> advice = worth_fixing(r);
  for (size_t i = 0; i < advice.size(); ++i) text += fmt::format("{}. {}\n", i + 1, advice[i]);
  return text;
}

Json to_json(const Roofline& r) {
  Json rows = Json::array();
  for (const RooflineRow& row : r.rows)
    rows.push_back({{"layer", row.layer},
                    {"op", row.op},
                    {"calls", row.calls},
                    {"forward_seconds", row.forward},
                    {"backward_seconds", row.backward},
                    {"host_seconds", row.host},
                    {"flop", row.flop},
                    {"bytes", row.bytes},
                    {"of_ceiling", row.of_ceiling()},
                    {"bound", row.bound()}});
  return {{"device", r.device},
          {"steps", r.steps},
          {"step_seconds", r.step},
          {"unprofiled_seconds", r.unprofiled},
          {"waiting_seconds", r.waiting},
          {"between_seconds", r.between},
          {"ops", r.ops},
          {"copy_bytes_per_second", r.ceilings.bytes_per_second},
          {"products_flop_per_second", r.ceilings.flop_per_second},
          {"op_seconds", r.ceilings.op_seconds},
          {"worth_fixing", worth_fixing(r)},
          {"rows", rows}};
}

std::string chrome_trace(const StepProfile& profile) {
  constexpr int kSteps = 0, kDevice = 1, kHost = 2;
  const bool queued = profile.device != kCpu;
  Json events = {thread_name(kSteps, "steps"), thread_name(kDevice, queued ? "device" : "ops")};
  if (queued) events.push_back(thread_name(kHost, "host"));
  double begin = 0;
  for (size_t i = 0; i < profile.step_ends.size(); ++i) {
    events.push_back(event("X", fmt::format("step {}", i + 1), kSteps, begin, profile.step_ends[i]));
    begin = profile.step_ends[i];
  }
  for (const SeenPass& seen : profile.passes) {
    const std::string name = concat(seen.pass.op, seen.pass.backward ? " backward" : "");
    Json one = event("X", name, kDevice, seen.begin, seen.end);
    one["args"] = {{"layer", seen.pass.layer},
                   {"shape", concat(seen.pass.shape)},
                   {"flop", seen.pass.flop},
                   {"bytes", seen.bytes},
                   {"sequence", seen.pass.sequence}};
    if (queued) events.push_back(event("X", name, kHost, seen.host_begin, seen.host_end));
    events.push_back(std::move(one));
  }
  return Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump() + "\n";
}

}  // namespace engine
