// Reads 4 bytes per partial sum, which the caches usually still hold; bound by latency.
#include "kernels/cuda/partial_sums.h"

#include "kernels/cuda/device.h"

namespace engine {
namespace {

constexpr int kColumnThreads = 32, kPieceThreads = 32;

// A column is summed by kPieceThreads threads, whose sums are then added by one.
__global__ void add_partial_sums_kernel(int64_t pieces, int64_t columns, const float* partial, float* first,
                                        float* second) {
  SHARED(float, sums, [kPieceThreads][kColumnThreads]);
  const int lane = static_cast<int>(threadIdx.x) % kColumnThreads,
            group = static_cast<int>(threadIdx.x) / kColumnThreads;
  const int64_t column = int64_t{blockIdx.x} * kColumnThreads + lane;
  float sum = 0;
  if (column < 2 * columns) {
#pragma unroll 4
    for (int64_t piece = group; piece < pieces; piece += kPieceThreads) sum += partial[piece * 2 * columns + column];
  }
  sums[group][lane] = sum;
  __syncthreads();
  if (group > 0 || column >= 2 * columns) return;
#pragma unroll
  for (int i = 1; i < kPieceThreads; ++i) sum += sums[i][lane];
  (column < columns ? first[column] : second[column - columns]) = sum;
}

}  // namespace

void add_partial_sums(CudaContext& ctx, const char* name, int64_t pieces, int64_t columns, const float* partial,
                      const View& first, const View& second) {
  launch(ctx, name, add_partial_sums_kernel, blocks_for(2 * columns, kColumnThreads), kColumnThreads * kPieceThreads, 0,
         pieces, columns, partial, first, second);
}

}  // namespace engine
