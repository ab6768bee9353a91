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
  }
  return schedule.peak;
}

}  // namespace engine
