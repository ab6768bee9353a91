// NVTX ranges for the ops, in the domain "engine": what Nsight shows beside the kernels.
#pragma once

namespace engine {

// Makes NVTX the profiler, where a tool that reads it is attached and nothing else is the profiler.
void profile_by_nvtx();

}  // namespace engine
