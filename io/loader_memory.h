// Internal to io/: how much memory a loader takes, and how many batches it may decode ahead.
#pragma once

#include <cstdint>

#include "io/loader.h"

namespace engine {

// What LoaderOptions::memory stands for where it is 0: 2 GiB, or a quarter of the machine's memory, or of what the
// process may use of it (Linux's control groups), where that is less.
int64_t default_loader_memory();

// Of a loader that gives `clips` clips an epoch. Throws kMemory where options.memory is too little.
LoaderMemory plan_memory(const Dataset& dataset, const LoaderOptions& options, int64_t clips);

}  // namespace engine
