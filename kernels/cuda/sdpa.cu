// Attention by cuDNN: a plan per key, built at its first use and kept in the context. Neither scores nor probabilities
// go through memory in forward; in backward cuDNN keeps an order of sums by storing the gradient of the scores, two
// bytes per score, in its workspace. Bound by tensor cores.
//
// cuDNN's statistics are ours: the natural logarithm of the sum of exponentials of the scaled and masked scores. What a
// mask of lengths leaves open is closed here, by kernels that write nothing but rows without a key: cuDNN before 9.25
// gives NaN where a batch sees no key (so it is told of one), and no version promises zeros in the gradients of keys
// that are not seen. With a causal mask every query sees key 0, so lengths are all there is to it.
#include "kernels/cuda/sdpa.h"

#include <optional>

#include "kernels/cuda/device.h"
#include "kernels/cuda/execute_plan.h"

namespace engine {
namespace {

constexpr int kThreads = 128;

using Plans = std::map<SdpaKey, std::shared_ptr<const SdpaPlan>>;  // null where cuDNN has none

const SdpaPlan* plan_for(CudaContext& ctx, const SdpaKey& key) {
  const auto [found, is_new] = ctx.cache<Plans>().try_emplace(key);
  if (is_new) found->second = make_sdpa_plan(ctx, key);
  return found->second.get();
}

__global__ void lengths_kernel(const int64_t* lengths, int batch, int queries, int keys, int32_t* query_lengths,
                               int32_t* key_lengths) {
  const int n = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (n >= batch) return;
  query_lengths[n] = queries;
  key_lengths[n] = lengths[n] < 1 ? 1 : lengths[n] < keys ? static_cast<int32_t>(lengths[n]) : keys;
}

// x (N, rows, H, D): `value` for the rows of a batch that sees no key, or, of keys, for those that are not seen. One
// block to a row of a batch, with all its heads.
template <class T>
__global__ void fill_unseen_kernel(const int64_t* lengths, bool of_keys, T* x, SdpaKey::Strides strides, int rows,
                                   int heads, int depth, float value) {
  const int64_t batch = blockIdx.x / rows, row = blockIdx.x % rows, length = lengths[batch];
  if (of_keys ? row < length : length > 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < heads * depth; i += kThreads)
    x[batch * strides[0] + row * strides[1] + i / depth * strides[2] + i % depth] = from_f32<T>(value);
}

SdpaKey::Strides strides_of(const ConstView& x) { return {x.strides[0], x.strides[1], x.strides[2]}; }

void fill_unseen(CudaContext& ctx, const ConstView& lengths, bool of_keys, const View& x, float value) {
  if (!lengths.defined()) return;
  dispatch_device_float(x.dtype, [&]<class T>() {
    launch(ctx, "attention", fill_unseen_kernel<T>, blocks_for(x.shape[0] * x.shape[1], 1), kThreads, 0, lengths,
           of_keys, x, strides_of(x), x.shape[1], x.shape[2], x.shape[3], value);
  });
}

using Operands = std::array<ConstView, SdpaRole::query_lengths>;  // by role

bool sdpa(CudaContext& ctx, SdpaKey::Pass pass, const Attention& p, const ConstView& lengths,
          const Operands& operands) {
  const auto &q = operands[SdpaRole::q].shape, &k = operands[SdpaRole::k].shape;
  SdpaKey key;
  key.batch = q[0], key.heads = q[2], key.queries = q[1], key.keys = k[1], key.depth = q[3];
  key.causal = p.causal, key.lengths = lengths.defined(), key.scale = static_cast<float>(p.scale);
  const int64_t widest = ctx.compute_capability() == 90 ? 256 : 128;
  if (operands[SdpaRole::q].dtype != DType::bf16 || p.dropout.probability > 0 || key.batch * key.heads == 0 ||
      std::max(key.queries, key.keys) <= 128 || key.depth % 8 != 0 || key.depth > widest)
    return false;
  SdpaMemory memory{};
  for (size_t role = 0; role < operands.size(); ++role) {
    memory[role] = const_cast<void*>(operands[role].data);
    if (reinterpret_cast<uintptr_t>(memory[role]) % kSdpaAlignment != 0) return false;
  }
  for (const size_t role : {SdpaRole::q, SdpaRole::k, SdpaRole::v}) key.strides[role] = strides_of(operands[role]);
  const SdpaPlan* plan = plan_for(ctx, key);
  if (pass == SdpaKey::backward && plan != nullptr) {
    key.pass = pass;
    for (const size_t role : {SdpaRole::dq, SdpaRole::dk, SdpaRole::dv}) key.strides[role] = strides_of(operands[role]);
    plan = plan_for(ctx, key);
  }
  if (plan == nullptr) return false;
  std::optional<CudaScratch> scratch;
  if (lengths.defined()) {
    const int64_t aligned = (key.batch + 3) / 4 * 4;
    scratch.emplace(ctx, 2 * static_cast<size_t>(aligned) * sizeof(int32_t));
    int32_t *const queries = scratch->as<int32_t>(), *const keys = queries + aligned;
    memory[SdpaRole::query_lengths] = queries, memory[SdpaRole::key_lengths] = keys;
    launch(ctx, "attention", lengths_kernel, blocks_for(key.batch, kThreads), kThreads, 0, lengths, key.batch,
           key.queries, key.keys, queries, keys);
  }
  execute_plan(ctx, *plan, memory, ctx.workspace(plan->workspace_bytes));
  return true;
}

}  // namespace

bool sdpa_forward(CudaContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                  View y, View lse) {
  if (!sdpa(ctx, SdpaKey::forward, p, lengths, {q, k, v, {}, {}, {}, y, {}, lse})) return false;
  fill_unseen(ctx, lengths, false, y, 0.0f);
  const View rows(lse.memory(), lse.dtype, {lse.shape[0], 1, lse.shape[1], lse.shape[2]});
  fill_unseen(ctx, lengths, false, rows, -INFINITY);
  return true;
}

bool sdpa_backward(CudaContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                   ConstView y, ConstView lse, ConstView dy, View dq, View dk, View dv) {
  if (!sdpa(ctx, SdpaKey::backward, p, lengths, {q, k, v, dq, dk, dv, y, dy, lse})) return false;
  fill_unseen(ctx, lengths, false, dq, 0.0f);
  fill_unseen(ctx, lengths, true, dk, 0.0f);
  fill_unseen(ctx, lengths, true, dv, 0.0f);
  return true;
}

}  // namespace engine
