#include "kernels/cuda/execute_plan.h"

#include "kernels/cuda/cudnn_descriptor.h"

namespace engine {

DeviceDescription describe_device(CudaContext& ctx) {
  CudnnDescriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, static_cast<int32_t>(ctx.index()));
  properties.finalize();
  return {properties.text(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION)};
}

void execute_plan(CudaContext& ctx, const ConvPlan& plan, const ConvMemory& memory, void* workspace) {
  std::vector<int64_t> operands = {kConvX, kConvW, kConvY};
  std::vector<void*> addresses = {memory.x, memory.w, memory.y};
  if (plan.key.epilogue != ConvKey::none) {
    operands.push_back(kConvBias);
    addresses.push_back(memory.bias);
  }
  CudnnDescriptor arguments(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  arguments.set_all(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, operands);
  arguments.set_all(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses);
  arguments.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  arguments.finalize();
  ENGINE_CUDA(cudnnBackendExecute(ctx.cudnn(), plan.plan.get(), arguments.get()));
}

std::shared_ptr<const SdpaPlan> make_sdpa_plan(CudaContext& ctx, const SdpaKey& key) {
  try {
    return build_sdpa_plan(key, describe_device(ctx), true);
  } catch (const Error&) {
    return nullptr;
  }
}

void execute_plan(CudaContext& ctx, const SdpaPlan& plan, const SdpaMemory& memory, void* workspace) {
  run_sdpa_plan(plan, ctx.cudnn(), memory, workspace);
}

}  // namespace engine
