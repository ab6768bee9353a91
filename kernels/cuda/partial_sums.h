// The second pass of sums over the rows of a matrix: adds up what blocks have summed, each in its own row.
#pragma once

#include "kernels/cuda/context.h"

namespace engine {

// partial (pieces, 2, columns): first[c] = the sum of partial[.][0][c], second[c] that of partial[.][1][c], in an order
// that depends on `pieces` alone; 0 where there are none. All f32. `name` is the op's, for messages.
void add_partial_sums(CudaContext& ctx, const char* name, int64_t pieces, int64_t columns, const float* partial,
                      const View& first, const View& second);

}  // namespace engine
