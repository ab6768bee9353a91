// The topics of engine_survey.
#pragma once

#include "kernels/cuda/context.h"

namespace engine::bench {

// Every algorithm of cuDNN's RNN interface that runs an LSTM of this size and type, beside the op `lstm`.
void survey_lstm(CudaContext& ctx);

}  // namespace engine::bench
