// Which of several ways convolutions and matrix products on CUDA are computed: a plan per problem (operation, shapes,
// strides, type, alignment, ...), chosen at its first use and kept. Repeatable means: with the same plans.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "kernels/context.h"

namespace engine {

// False: a plan is the first that the library's heuristic names. True: the fastest of at most 8, timed on memory of
// the operands' sizes, if its result agrees with that of the heuristic's first; takes up to seconds per plan. What is
// recorded (kernels/recording.h) is not tuned: a plan first needed there is the heuristic's.
inline std::atomic<bool> tune_plans = false;
// Told of each plan that is timed, if set. Before any kernel runs.
inline std::function<void(const std::string& problem, const std::string& plan, double milliseconds)> on_timed_plan;

// All plans in use, chosen either way: a line on what they hold for (device, versions of the libraries) each, then a
// line per plan, sorted. The CPU has no plans: empty.
inline std::string chosen_plans(CpuContext&) { return {}; }
std::string chosen_plans(CudaContext& ctx);

// Forgets the plans in use; from here on, a problem that `text` (of chosen_plans(), or empty) has a plan for uses
// exactly that. Throws Error (exit code 84) where the text is for another device or other versions, or malformed; the
// kernel that needs a plan of it throws the same where that cannot be built (any more).
inline void use_plans(CpuContext&, const std::string& text) {
  if (!text.empty()) throw Error("these are plans for a CUDA device; the CPU has none", exit_code::kCheckpoint);
}
void use_plans(CudaContext& ctx, const std::string& text);

}  // namespace engine
