// The learning rate as a function of the step, and of the losses of the epochs before: a resumed run asks for the same
// numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace engine {

enum class ScheduleKind { constant, cosine, step, multistep, plateau };

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double peak = 1e-3;        // the rate after the warm-up
  double floor = 0.0;        // cosine: where it ends, as a part of the peak
  int64_t warmup_steps = 0;  // the rate rises along a line: step s of the warm-up has peak (s + 1) / warmup_steps
  int64_t total_steps = 1;   // cosine reaches the floor after this many; later steps keep it
  int64_t drop_every = 1;    // step: after each so many steps beyond the warm-up the rate is multiplied by drop_factor
  double drop_factor = 0.1;
  std::vector<int64_t> milestones{};  // multistep: steps, counted from 0, from each of which on it is multiplied
  int64_t plateau_patience = 3;       // plateau: epochs without a lower loss that are borne before it is multiplied
};

// The rate of step 0, 1, ...; of plateau before any drop.
double learning_rate(const Schedule& schedule, int64_t step);

// plateau: what the rate is multiplied by after epochs of these losses; 1 for other kinds. A loss counts as lower when
// it is less than 0.9999 times the lowest so far; after plateau_patience + 1 epochs in a row without one the rate drops
// and the count starts anew (PyTorch's ReduceLROnPlateau, threshold 1e-4 relative, cooldown 0).
double plateau_factor(const Schedule& schedule, std::span<const double> losses);

}  // namespace engine
