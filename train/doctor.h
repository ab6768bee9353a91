// What the machine offers, for a bug report or a first look.
#pragma once

#include <string>

#include "train/options.h"

namespace engine {

// Prints on stdout lines "name  value": processor, vector instructions, threads, memory, devices, versions of
// libraries, codecs, space where runs are written, and self_test() of the device chosen. Returns kOk, or kInternal when
// a test failed.
int run_doctor(const TrainOptions& options);

}  // namespace engine
