// What the machine offers, for a bug report or a first look.
#pragma once

#include <string>

#include "train/options.h"

namespace engine {

// Lines "name  value": processor, vector instructions, threads, memory, devices, versions of libraries, space where
// runs are written.
std::string doctor_report(const TrainOptions& options);

}  // namespace engine
