// The passes of the workloads that are compared: what is timed of each op and of each training step.
#pragma once

#include "bench/compare/measure.h"
#include "bench/compare/op_workloads.h"

namespace engine::bench {

// What is timed: `work` makes `calls` calls.
struct Pass {
  std::string name;
  std::function<void()> work;
  int64_t calls = 1;
  double bytes = 0, flop = 0;  // of one call
};
using Visit = std::function<void(const Pass&)>;

// Calls `visit` with every pass of a workload, one after the other: of an op forward and, where it has gradients,
// forward+backward; of a training step, step. A pass may be kept. With settings.state, before a step, its starting
// weights and clips are written there and the losses of the first steps printed.
void visit_workload(const json& w, bool step, const Settings& settings, const Visit& visit);

}  // namespace engine::bench
