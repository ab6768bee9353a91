#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace engine {

double learning_rate(const Schedule& schedule, int64_t step) {
  const int64_t warmup = schedule.warmup_steps;
  if (step < warmup) return schedule.peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  switch (schedule.kind) {
    case ScheduleKind::constant:
    case ScheduleKind::plateau:
      return schedule.peak;
    case ScheduleKind::cosine: {
      const auto length = static_cast<double>(std::max<int64_t>(schedule.total_steps - warmup, 1));
      const double part = std::min(static_cast<double>(step - warmup) / length, 1.0);
      const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * part));
      return schedule.peak * (schedule.floor + (1.0 - schedule.floor) * wave);
    }
    case ScheduleKind::step: {
      const int64_t drops = (step - warmup) / std::max<int64_t>(schedule.drop_every, 1);
      return schedule.peak * std::pow(schedule.drop_factor, static_cast<double>(drops));
    }
    case ScheduleKind::multistep: {
      const auto drops = std::ranges::count_if(schedule.milestones, [&](int64_t each) { return each <= step; });
      return schedule.peak * std::pow(schedule.drop_factor, static_cast<double>(drops));
    }
  }
  return schedule.peak;
}

double plateau_factor(const Schedule& schedule, std::span<const double> losses) {
  if (schedule.kind != ScheduleKind::plateau) return 1.0;
  constexpr double kThreshold = 1e-4;
  double lowest = INFINITY, factor = 1.0;
  int64_t worse = 0;
  for (const double loss : losses) {
    const bool lower = loss < lowest * (1 - kThreshold);
    if (lower) lowest = loss;
    worse = lower ? 0 : worse + 1;
    if (worse <= schedule.plateau_patience) continue;
    factor *= schedule.drop_factor;
    worse = 0;
  }
  return factor;
}

}  // namespace engine
