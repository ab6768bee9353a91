// What the kernels that choose plans (kernels/plans.h) share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/context.h"
#include "kernels/plans.h"

namespace engine {

// The candidates for one problem, as text of one line each, and what they are tried on.
struct Trial {
  std::string problem{};
  std::vector<std::string> candidates{};  // the heuristic's first choice first
  DType dtype = DType::f32;
  int64_t terms = 1;                // added up in one element of a result
  std::vector<int64_t> operands{};  // elements; those from `results` on are written
  size_t results = 0, workspace_bytes = 0;
  std::function<void(size_t candidate, const std::vector<void*>& operands, void* workspace)> run{};  // queues it
};

// How many candidates choose_plan() would look at: 1 where it would take the first of however many.
size_t wanted_plans(CudaContext& ctx, const std::string& problem);
// The candidate to use from now on: the one that use_plans() gave, or else, when tuning, the fastest whose result
// agrees with that of the first, or else, and where trying fails, the first.
size_t choose_plan(CudaContext& ctx, const Trial& trial);

void forget_convolution_plans(CudaContext& ctx);
void forget_matmul_plans(CudaContext& ctx);

}  // namespace engine
