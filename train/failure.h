// What is said of a training that failed, beyond what went wrong.
#pragma once

#include <string>

#include "train/memory_plan.h"
#include "train/resume.h"

namespace engine {

// Called where an exception was caught: throws it again. Where memory ran out (kMemory, kDeviceMemory, std::bad_alloc)
// it also tells what the run takes and what would fit; where numbers are not finite (kNotFinite), the newest checkpoint
// in the run's folder, after waiting for the one that is being written.
[[noreturn]] void throw_with_advice(const MemoryPlan& plan, int64_t accumulate, const std::string& folder,
                                    RunCheckpoints& checkpoints);

}  // namespace engine
