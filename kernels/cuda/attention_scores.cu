// The pass over the scores between the products of kernels/attention_composed.h: one block to a row. Traffic in bytes
// per score for f32 / bf16: forward 8 / 4, backward 16 / 8, as the further readings of a row find it in the cache.
// Bound by memory; with dropout by the integer arithmetic of Philox.
#include "kernels/attention_composed.h"
#include "kernels/cuda/attention.cuh"

namespace engine {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void scores_forward_kernel(AttentionMask mask, float scale, T* scores, float* lse) {
  const int64_t row = blockIdx.x;
  const int query = static_cast<int>(row % mask.queries), thread = static_cast<int>(threadIdx.x);
  const int seen = mask.seen(row / mask.queries / mask.heads, query);
  T* const x = scores + row * mask.keys;
  float max = -INFINITY, sum = 0;
  for (int l = thread; l < seen; l += kThreads) max = Max{}(max, scale * to_f32(x[l]));
  max = block_reduce(max, -INFINITY, Max{});
  for (int l = thread; l < seen; l += kThreads) sum += expf(scale * to_f32(x[l]) - max);
  sum = block_reduce(sum, 0.0f, Sum{});
  if (thread == 0) lse[row] = seen > 0 ? max + logf(sum) : -INFINITY;
  for (int l = thread; l < mask.keys; l += kThreads) {
    const float probability = l < seen ? expf(scale * to_f32(x[l]) - max) / sum : 0.0f;
    x[l] = from_f32<T>(probability * mask.factor(row * mask.keys + l));
  }
}

template <class T>
__global__ void scores_backward_kernel(AttentionMask mask, float scale, const float* lse, T* scores, T* dscores) {
  const int64_t row = blockIdx.x;
  const int query = static_cast<int>(row % mask.queries), thread = static_cast<int>(threadIdx.x);
  const int seen = mask.seen(row / mask.queries / mask.heads, query);
  T *const x = scores + row * mask.keys, *const dx = dscores + row * mask.keys;
  const float log_sum = lse[row];
  const auto probability = [&](int l) { return expf(scale * to_f32(x[l]) - log_sum); };
  const auto factor = [&](int l) { return mask.factor(row * mask.keys + l); };
  float dot = 0;
  for (int l = thread; l < seen; l += kThreads) dot += probability(l) * factor(l) * to_f32(dx[l]);
  dot = block_reduce(dot, 0.0f, Sum{});
  for (int l = thread; l < mask.keys; l += kThreads) {
    const float p = l < seen ? probability(l) : 0.0f, kept = factor(l);
    x[l] = from_f32<T>(p * kept);
    dx[l] = from_f32<T>(scale * p * (kept * to_f32(dx[l]) - dot));
  }
}

AttentionMask mask_of(const Attention& p, const Shape& scores, const ConstView& lengths, const ConstView& step) {
  ENGINE_CHECK(std::max(scores[2], scores[3]) <= 1 << 30, "attention: at most 2^30 queries and keys, got ", scores[2],
               " and ", scores[3]);
  return AttentionMask(p, scores[1], scores[2], scores[3], lengths, step);
}

}  // namespace

void attention_scores_forward(CudaContext& ctx, const Attention& p, ConstView lengths, ConstView step, View scores,
                              View lse) {
  dispatch_device_float(scores.dtype, [&]<class T>() {
    launch(ctx, "attention", scores_forward_kernel<T>, blocks_for(lse.elements(), 1), kThreads, 0,
           mask_of(p, scores.shape, lengths, step), p.scale, scores, lse);
  });
}

void attention_scores_backward(CudaContext& ctx, const Attention& p, ConstView lengths, ConstView step, ConstView lse,
                               View scores, View dscores) {
  dispatch_device_float(scores.dtype, [&]<class T>() {
    launch(ctx, "attention", scores_backward_kernel<T>, blocks_for(lse.elements(), 1), kThreads, 0,
           mask_of(p, scores.shape, lengths, step), p.scale, lse, scores, dscores);
  });
}

}  // namespace engine
