// NVTX ranges for the ops, in the domain "engine", with their layer: what Nsight shows beside the kernels. The payload
// is the pass's sequence number.
#pragma once

namespace engine {

// Makes NVTX the profiler, where a tool that reads it is attached and nothing else is the profiler.
void profile_by_nvtx();

}  // namespace engine
