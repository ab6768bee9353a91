// The part of cuDNN's graph API that needs a device. In the build that compiles the kernels for the CPU, cudnn.cpp and
// sdpa.cpp of tests/fake_cuda take the place of execute_plan.cpp.
#pragma once

#include "kernels/cuda/context.h"
#include "kernels/cuda/cudnn_graph.h"
#include "kernels/cuda/sdpa_graph.h"

namespace engine {

// The context's device.
DeviceDescription describe_device(CudaContext& ctx);

// Device memory by role, whichever of them the pass writes; bias only with an epilogue.
struct ConvMemory {
  void *x, *w, *y, *bias;
};

// Queues the plan. `workspace` holds plan.workspace_bytes.
void execute_plan(CudaContext& ctx, const ConvPlan& plan, const ConvMemory& memory, void* workspace);

// A plan of attention for the context's device, compiled; null where cuDNN has none.
std::shared_ptr<const SdpaPlan> make_sdpa_plan(CudaContext& ctx, const SdpaKey& key);
void execute_plan(CudaContext& ctx, const SdpaPlan& plan, const SdpaMemory& memory, void* workspace);

}  // namespace engine
