// Attention by cuDNN's fused kernels: in bf16, of more than 128 queries or keys, with heads of 8, 16, ... 128 elements
// (256 on Hopper), without dropout, whose masks are this engine's own.
#pragma once

#include "kernels/attention.h"

namespace engine {

// As attention_forward and attention_backward, without dropout's step; false, and nothing done, where the problem is
// none of the above, an operand does not start at a multiple of 16 bytes, or cuDNN has no plan. Backward is done only
// for what forward would be done for. Where it is not although forward was, another way may take its y and lse, whose
// meaning is the same.
bool sdpa_forward(CudaContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                  View y, View lse);
bool sdpa_backward(CudaContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                   ConstView y, ConstView lse, ConstView dy, View dq, View dk, View dv);

}  // namespace engine
