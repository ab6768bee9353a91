// Plans of cuDNN's fused attention: building the graph of one and choosing an engine for it, apart from running it
// (kernels/cuda/execute_plan.h). Choosing needs no device but its description, and a libcuda.so.1, for which the
// toolkit's stub will do: engines that are compiled at run time are refused without one.
#pragma once

#include <array>
#include <compare>

#include "kernels/cuda/cudnn_graph.h"

struct cudnnContext;  // what a cudnnHandle_t points to

namespace engine {

// The operands, first those that may have strides: a struct for the names' sake.
struct SdpaRole {
  enum : size_t { q, k, v, dq, dk, dv, y, dy, lse, query_lengths, key_lengths, count };
};

// Device memory of the operands that a pass has; the others are null. Lengths are i32 (batch): of the queries all, of
// the keys from 1 to all.
using SdpaMemory = std::array<void*, SdpaRole::count>;

// What a plan depends on. Operands are bf16 but lse and lengths; y and dy (batch, queries, heads, depth) and lse
// (batch, heads, queries) are contiguous. Operands, and of bf16 all rows and heads, start at multiples of
// kSdpaAlignment bytes.
struct SdpaKey {
  enum Pass : uint8_t { forward, backward };
  using Strides = std::array<int64_t, 3>;  // in elements: from batch to batch, row to row, head to head

  Pass pass = forward;
  int64_t batch = 1, heads = 1, queries = 1, keys = 1, depth = 1;
  std::array<Strides, SdpaRole::y> strides{};  // of those before y
  bool causal = false;
  bool lengths = false;  // are given
  float scale = 1;

  auto operator<=>(const SdpaKey&) const = default;
};

inline constexpr size_t kSdpaAlignment = 16;

struct SdpaPlan {
  SdpaKey key;
  std::string engine;           // number and knobs of cuDNN's engine
  size_t workspace_bytes = 0;   // once compiled
  std::shared_ptr<void> graph;  // of the header library that sdpa_graph.cpp alone includes
};

// The plan that cuDNN's heuristics prefer on such a device; sums are f32, and backward is deterministic. It can be run
// if it is compiled, which takes a driver and up to two seconds. Throws an Error that names problem and device where
// cuDNN has none, or is older than 9.16, which copies lengths of its own making from host memory at every call.
std::shared_ptr<const SdpaPlan> build_sdpa_plan(const SdpaKey& key, const DeviceDescription& device, bool compiled);

// Queues a compiled plan on the handle's stream. `workspace` holds plan.workspace_bytes.
void run_sdpa_plan(const SdpaPlan& plan, cudnnContext* handle, const SdpaMemory& memory, void* workspace);

}  // namespace engine
