// Plans of cuDNN's fused attention: building the graph of one and choosing an engine for it, apart from running it
// (kernels/cuda/execute_sdpa.h). Building needs no device but its description, and a libcuda.so.1, for which the
// toolkit's stub will do: engines that are compiled at run time are refused without one.
#pragma once

#include <array>
#include <compare>

#include "kernels/cuda/cudnn_graph.h"

struct cudnnContext;  // what a cudnnHandle_t points to

namespace engine {

// What a plan of attention depends on. All operands are bf16 but lse, and start at multiples of kSdpaAlignment bytes;
// so do all rows and heads. y and dy (batch, queries, heads, depth) and lse (batch, heads, queries) are contiguous.
struct SdpaKey {
  enum Pass : uint8_t { forward, backward };
  using Strides = std::array<int64_t, 3>;  // in elements: of the batch, of rows, of heads

  Pass pass = forward;
  int64_t batch = 1, heads = 1, queries = 1, keys = 1, depth = 1;
  Strides q{}, k{}, v{};
  Strides dq{}, dk{}, dv{};  // of backward
  bool causal = false;
  bool lengths = false;  // of the keys of every batch are given
  float scale = 1;

  auto operator<=>(const SdpaKey&) const = default;
};

inline constexpr size_t kSdpaAlignment = 16;

// "attention forward: N 4, H 8, S 196, L 196, D 64, causal", for messages.
std::string text_of(const SdpaKey& key);

// Device memory by role, as far as the pass has it. The lengths are i32 (batch): all queries, and from 1 to key.keys
// keys.
struct SdpaMemory {
  void *q = nullptr, *k = nullptr, *v = nullptr, *y = nullptr, *lse = nullptr;
  void *query_lengths = nullptr, *key_lengths = nullptr;
  void *dy = nullptr, *dq = nullptr, *dk = nullptr, *dv = nullptr;
};

struct SdpaPlan {
  SdpaKey key;
  std::string engine;           // number and knobs of cuDNN's engine
  size_t workspace_bytes = 0;   // known once compiled
  std::shared_ptr<void> graph;  // of the header library that sdpa_graph.cpp alone includes
};

// The plan that cuDNN's heuristics prefer on such a device; sums are f32, and backward is deterministic. Throws an
// Error that names the key and the device where cuDNN has none, or is older than 9.16, which copies lengths of its own
// making from host memory at every call.
std::shared_ptr<SdpaPlan> build_sdpa_plan(const SdpaKey& key, const DeviceDescription& device);

// Compiles the plan's engine, which takes a driver and up to two seconds; before that a plan cannot be run.
void compile_sdpa_plan(SdpaPlan& plan);
// Queues it on the handle's stream. `workspace` holds plan.workspace_bytes.
void run_sdpa_plan(const SdpaPlan& plan, cudnnContext* handle, const SdpaMemory& memory, void* workspace);

}  // namespace engine
