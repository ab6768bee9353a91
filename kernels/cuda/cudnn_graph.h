// Plans of cuDNN's graph API: building a graph and choosing an engine for it, apart from running it
// (kernels/cuda/execute_plan.h). Neither needs a device, only its description, so every graph is built and checked on
// machines without a GPU.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/conv_key.h"

namespace engine {

// What cuDNN chooses plans by: the properties of a device, as cuDNN itself writes them in JSON.
struct DeviceDescription {
  std::string json;
  std::string name() const;  // "NVIDIA H100 80GB HBM3"
};

// The operands of a convolution in its graph.
inline constexpr int64_t kConvX = 1, kConvW = 2, kConvY = 3, kConvBias = 4;

struct ConvPlan {
  ConvKey key;
  size_t workspace_bytes = 0;
  std::string engine;          // number and knobs of cuDNN's engine, in JSON, for the record
  std::shared_ptr<void> plan;  // cuDNN's descriptor
};

// The plans that cuDNN's heuristics name for the key on such a device and that compute as we promise:
// deterministically, with f32 sums and products of the factors as they are (no Fourier or Winograd transform; TF32 only
// where key.tensor_cores), without code that has yet to be compiled (which takes a driver and up to a second), and in
// at most 2 GiB of workspace, or one in the least where all plans want more. At most `most`, the heuristics' first
// choice first; more of them begin with the same ones. The same key and description give the same plans. Throws an
// Error that names op, shapes and device where cuDNN has none.
std::vector<std::shared_ptr<const ConvPlan>> build_plans(const ConvKey& key, const DeviceDescription& device,
                                                         size_t most);
inline std::shared_ptr<const ConvPlan> build_plan(const ConvKey& key, const DeviceDescription& device) {
  return build_plans(key, device, 1)[0];
}

}  // namespace engine
