// engine_predict classify --profile: where the time goes when a model looks at videos.
#pragma once

#include <string>

#include "train/predict.h"

namespace engine {

// Classifies clips of the videos, round and round, `steps` of them after a warm-up, tells no classes but the table of
// train/roofline.h on stdout (with `json` as an object), and writes the trace to the file `trace`, where one is given.
// Returns kOk or the code of the first video that cannot be read. Throws Error, kStorage too.
int profile_videos(Evaluator& evaluator, VideoFiles& files, int64_t steps, bool json, const std::string& trace);

}  // namespace engine
