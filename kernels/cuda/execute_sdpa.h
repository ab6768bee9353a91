// The part of cuDNN's attention that needs a device. In the build that compiles the kernels for the CPU,
// tests/fake_cuda/sdpa.cpp takes the place of execute_sdpa.cpp.
#pragma once

#include "kernels/cuda/context.h"
#include "kernels/cuda/sdpa_graph.h"

namespace engine {

// A plan for the context's device, compiled; null where cuDNN has none.
std::shared_ptr<const SdpaPlan> make_sdpa_plan(CudaContext& ctx, const SdpaKey& key);

// Queues the plan. `workspace` holds plan.workspace_bytes.
void execute_sdpa(CudaContext& ctx, const SdpaPlan& plan, const SdpaMemory& memory, void* workspace);

}  // namespace engine
