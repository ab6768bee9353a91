#include "bench/suite/compare_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace engine::bench {
namespace {

using nlohmann::json;

struct Time {
  double median = 0, deviation = 0;  // milliseconds, and relative
  double least = 0, most = 0;        // milliseconds
};

Time time_of(std::vector<double> times) {
  if (times.empty()) return {};
  std::ranges::sort(times);
  const size_t half = times.size() / 2;
  const double median = times.size() % 2 == 1 ? times[half] : (times[half - 1] + times[half]) / 2;
  double mean = 0, squares = 0;
  for (const double time : times) mean += time / static_cast<double>(times.size());
  for (const double time : times) squares += (time - mean) * (time - mean);
  const double deviation = times.size() > 1 ? std::sqrt(squares / static_cast<double>(times.size() - 1)) : 0;
  return {median, mean > 0 ? deviation / mean : 0, times.front(), times.back()};
}

std::map<std::string, Time> times_of(const json& run) {
  std::map<std::string, std::vector<double>> times;
  for (const json& each : run.at("benchmarks"))
    if (each.value("run_type", "") == "iteration" && !each.value("error_occurred", false))
      times[each.at("run_name")].push_back(each.at("real_time"));
  std::map<std::string, Time> result;
  for (auto& [name, list] : times) result[name] = time_of(std::move(list));
  return result;
}

}  // namespace

std::string compare_runs(const json& before, const json& after) {
  constexpr double kLeast = 0.02;
  const auto old_times = times_of(before), new_times = times_of(after);
  struct Moved {
    double ratio, noise;
    std::string name;
    Time before, after;
  };
  std::vector<Moved> moved;
  std::string only;
  size_t both = 0;
  for (const auto& [name, now] : new_times) {
    const auto found = old_times.find(name);
    if (found == old_times.end()) {
      only += fmt::format("only after: {}\n", name);
      continue;
    }
    ++both;
    const Time& then = found->second;
    const double noise = std::max(kLeast, 3 * std::hypot(then.deviation, now.deviation)),
                 ratio = now.median / then.median;
    const bool apart = now.most < then.least || now.least > then.most;
    if (apart && std::abs(std::log(ratio)) > std::log1p(noise)) moved.push_back({ratio, noise, name, then, now});
  }
  for (const auto& [name, then] : old_times)
    if (!new_times.contains(name)) only += fmt::format("only before: {}\n", name);
  std::ranges::sort(moved, {}, &Moved::ratio);
  std::string text;
  for (const Moved& each : moved)
    text += fmt::format("{:<60} {:>11.4g} ms -> {:>11.4g} ms  {:.2f}x {} (noise {:.0f}%)\n", each.name,
                        each.before.median, each.after.median, each.ratio < 1 ? 1 / each.ratio : each.ratio,
                        each.ratio < 1 ? "faster" : "slower", 100 * each.noise);
  return text + only + fmt::format("{} of {} moved beyond the noise\n", moved.size(), both);
}

json joined_runs(const std::vector<json>& runs) {
  json joined = runs.at(0);
  for (size_t i = 1; i < runs.size(); ++i)
    for (const json& each : runs[i].at("benchmarks")) joined["benchmarks"].push_back(each);
  return joined;
}

}  // namespace engine::bench
