#include "kernels/cuda/execute_sdpa.h"

#include "kernels/cuda/execute_plan.h"

namespace engine {

std::shared_ptr<const SdpaPlan> make_sdpa_plan(CudaContext& ctx, const SdpaKey& key) {
  try {
    return build_sdpa_plan(key, describe_device(ctx), true);
  } catch (const Error&) {
    return nullptr;
  }
}

void execute_sdpa(CudaContext& ctx, const SdpaPlan& plan, const SdpaMemory& memory, void* workspace) {
  run_sdpa_plan(plan, ctx.cudnn(), memory, workspace);
}

}  // namespace engine
