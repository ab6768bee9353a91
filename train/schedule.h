// The learning rate as a function of the step, with no state: a resumed run asks for the same numbers.
#pragma once

#include <cstdint>

namespace engine {

enum class ScheduleKind { constant, cosine, step };

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double peak = 1e-3;        // the rate after the warm-up
  double floor = 0.0;        // cosine: where it ends, as a part of the peak
  int64_t warmup_steps = 0;  // the rate rises along a line: step s of the warm-up has peak (s + 1) / warmup_steps
  int64_t total_steps = 1;   // cosine reaches the floor after this many; later steps keep it
  int64_t drop_every = 1;    // step: after each so many steps beyond the warm-up the rate is multiplied by drop_factor
  double drop_factor = 0.1;
};

// The rate of step 0, 1, ...
double learning_rate(const Schedule& schedule, int64_t step);

}  // namespace engine
