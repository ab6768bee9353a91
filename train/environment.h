// Where and how a program runs.
#pragma once

#include <cstdint>
#include <string>

#include "engine/tensor.h"

namespace engine {

// JSON: the engine's version and, where the build knew it, its commit; compiler, system, processor, its vector
// instructions, cores, memory, threads; the device and what it computes in; the versions of oneDNN, FFmpeg and, with
// CUDA, of what its plans hold for (engine/plans.h).
std::string environment_json(const std::string& device, int64_t threads);

// The words that this process was started with, quoted for a shell.
std::string command_line();

// For doctor and others.
std::string engine_version();  // with the commit where the build knew it
std::string processor_name();
std::string vector_instructions();
double memory_gib();  // NaN where it is not known

}  // namespace engine
