// The LSTM's loop over time as one launch; arguments and results as in kernels/lstm_sequence.h. Both return false, with
// nothing done, for sizes that the device cannot hold or that the loop is expected to do faster.
#pragma once

#include "kernels/lstm.h"

namespace engine::lstm_persistent {

bool run_forward(CudaContext& ctx, const Lstm& p, ConstView w_hh, ConstView b_hh, ConstView h0, ConstView c0,
                 ConstView lengths, View states, View h_n, View c_n, View gates, View cells, View y);
bool run_backward(CudaContext& ctx, const Lstm& p, ConstView w_hh, ConstView c0, ConstView lengths, ConstView gates,
                  ConstView cells, ConstView dy, ConstView dh_n, ConstView dc_n, View dgates, View dh0, View dc0);

}  // namespace engine::lstm_persistent
