// What ops do, for whoever wants to know how much that is.
#pragma once

#include <algorithm>

#include "engine/autograd.h"

namespace engine {

// While alive, in the place of another profiler, which comes back behind it: counts the passes of ops and their
// operations, and follows the CPU memory in use, looked at when a pass begins and ends.
struct OpWatch : Profiler {
  int64_t passes = 0;
  double flop = 0;  // OpPass::flop: of forward passes
  int64_t bytes_before = cpu_bytes_in_use(), most_bytes = bytes_before;

  OpWatch() = default;
  ~OpWatch() override { profiler = others_; }
  OpWatch(const OpWatch&) = delete;
  OpWatch& operator=(const OpWatch&) = delete;
  void begin(const OpPass& pass) override {
    ++passes;
    flop += pass.flop;
    look();
  }
  void end() override { look(); }
  int64_t taken() const { return most_bytes - bytes_before; }  // beside what was in use at its start, at most

 private:
  void look() { most_bytes = std::max(most_bytes, cpu_bytes_in_use()); }
  Profiler* others_ = profiler.exchange(this);
};

}  // namespace engine
