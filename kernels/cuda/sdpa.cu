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
#include "kernels/cuda/execute_sdpa.h"

namespace engine {
namespace {

constexpr int kThreads = 128;

struct Plans {
  std::map<SdpaKey, std::shared_ptr<const SdpaPlan>> plans;  // null where cuDNN has none
};

const SdpaPlan* plan_for(CudaContext& ctx, const SdpaKey& key) {
  auto& plans = ctx.cache<Plans>().plans;
  auto found = plans.find(key);
  if (found == plans.end()) found = plans.emplace(key, make_sdpa_plan(ctx, key)).first;
  return found->second.get();
}

SdpaKey::Strides strides_of(const ConstView& x) { return {x.strides[0], x.strides[1], x.strides[2]}; }

SdpaKey forward_key(const Attention& p, const ConstView& q, const ConstView& k, const ConstView& v,
                    const ConstView& lengths) {
  return {.pass = SdpaKey::forward,
          .batch = q.shape[0],
          .heads = q.shape[2],
          .queries = q.shape[1],
          .keys = k.shape[1],
          .depth = q.shape[3],
          .q = strides_of(q),
          .k = strides_of(k),
          .v = strides_of(v),
          .causal = p.causal,
          .lengths = lengths.defined(),
          .scale = static_cast<float>(p.scale)};
}

template <class... Views>
bool fits(CudaContext& ctx, const Attention& p, const ConstView& q, const ConstView& k, const Views&... others) {
  const int64_t rows = std::max(q.shape[1], k.shape[1]), depth = q.shape[3];
  const int64_t widest = ctx.compute_capability() == 90 ? 256 : 128;
  const auto aligned = [](const ConstView& x) { return reinterpret_cast<uintptr_t>(x.data) % kSdpaAlignment == 0; };
  return q.dtype == DType::bf16 && q.elements() > 0 && rows > 128 && depth % 8 == 0 && depth <= widest &&
         p.dropout.probability == 0 && aligned(q) && aligned(k) && (aligned(others) && ...);
}

__global__ void lengths_kernel(const int64_t* lengths, int batch, int queries, int keys, int32_t* query_lengths,
                               int32_t* key_lengths) {
  const int n = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (n >= batch) return;
  query_lengths[n] = queries;
  key_lengths[n] = lengths[n] < 1 ? 1 : lengths[n] < keys ? static_cast<int32_t>(lengths[n]) : keys;
}

// Which rows of a tensor (N, rows, H, D) have no key: all of a batch with none, and of keys themselves those that are
// not seen.
struct Unseen {
  const int64_t* lengths;
  bool of_keys;
  __device__ bool operator()(int64_t batch, int row) const {
    return of_keys ? row >= lengths[batch] : lengths[batch] <= 0;
  }
};

// One block to a row of a batch, with all its heads.
template <class T>
__global__ void fill_unseen_kernel(Unseen unseen, T* x, SdpaKey::Strides strides, int rows, int heads, int depth,
                                   float value) {
  const int64_t batch = blockIdx.x / rows;
  const int row = static_cast<int>(blockIdx.x % rows);
  if (!unseen(batch, row)) return;
  for (int i = static_cast<int>(threadIdx.x); i < heads * depth; i += kThreads)
    x[batch * strides[0] + row * strides[1] + i / depth * strides[2] + i % depth] = from_f32<T>(value);
}

class Lengths {
 public:
  // For cuDNN, where lengths are given.
  Lengths(CudaContext& ctx, const ConstView& lengths, const SdpaKey& key, SdpaMemory& memory)
      : ctx_(ctx), lengths_(lengths) {
    if (!lengths.defined()) return;
    const int64_t aligned = (key.batch + 3) / 4 * 4;
    scratch_.emplace(ctx, 2 * static_cast<size_t>(aligned) * sizeof(int32_t));
    int32_t *const queries = scratch_->as<int32_t>(), *const keys = queries + aligned;
    memory.query_lengths = queries;
    memory.key_lengths = keys;
    launch(ctx, "attention", lengths_kernel, blocks_for(key.batch, kThreads), kThreads, 0, lengths.as<int64_t>(),
           key.batch, key.queries, key.keys, queries, keys);
  }
  // x (N, rows, H, D), its innermost stride 1.
  void fill_unseen(const View& x, bool of_keys, float value) const {
    if (!lengths_.defined()) return;
    const auto start = [&]<class T>() {
      launch(ctx_, "attention", fill_unseen_kernel<T>, blocks_for(x.shape[0] * x.shape[1], 1), kThreads, 0,
             Unseen{lengths_.as<int64_t>(), of_keys}, x.as<T>(), strides_of(x), x.shape[1], x.shape[2], x.shape[3],
             value);
    };
    dispatch_device_float(x.dtype, start);
  }

 private:
  CudaContext& ctx_;
  ConstView lengths_;
  std::optional<CudaScratch> scratch_;
};

void* memory_of(const ConstView& x) { return const_cast<void*>(x.data); }

}  // namespace

bool sdpa_forward(CudaContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                  View y, View lse) {
  if (!fits(ctx, p, q, k, v, y)) return false;
  const SdpaKey key = forward_key(p, q, k, v, lengths);
  const SdpaPlan* const plan = plan_for(ctx, key);
  if (plan == nullptr) return false;
  SdpaMemory memory{.q = memory_of(q), .k = memory_of(k), .v = memory_of(v), .y = y.memory(), .lse = lse.memory()};
  const Lengths seen(ctx, lengths, key, memory);
  execute_sdpa(ctx, *plan, memory, ctx.workspace(plan->workspace_bytes));
  seen.fill_unseen(y, false, 0.0f);
  seen.fill_unseen(View(lse.memory(), lse.dtype, {lse.shape[0], 1, lse.shape[1], lse.shape[2]}), false, -INFINITY);
  return true;
}

bool sdpa_backward(CudaContext& ctx, const Attention& p, ConstView q, ConstView k, ConstView v, ConstView lengths,
                   ConstView y, ConstView lse, ConstView dy, View dq, View dk, View dv) {
  if (!fits(ctx, p, q, k, v, y, dy, dq, dk, dv)) return false;
  SdpaKey key = forward_key(p, q, k, v, lengths);
  if (plan_for(ctx, key) == nullptr) return false;
  key.pass = SdpaKey::backward;
  key.dq = strides_of(dq), key.dk = strides_of(dk), key.dv = strides_of(dv);
  const SdpaPlan* const plan = plan_for(ctx, key);
  if (plan == nullptr) return false;
  SdpaMemory memory{.q = memory_of(q),
                    .k = memory_of(k),
                    .v = memory_of(v),
                    .y = memory_of(y),
                    .lse = memory_of(lse),
                    .dy = memory_of(dy),
                    .dq = dq.memory(),
                    .dk = dk.memory(),
                    .dv = dv.memory()};
  const Lengths seen(ctx, lengths, key, memory);
  execute_sdpa(ctx, *plan, memory, ctx.workspace(plan->workspace_bytes));
  seen.fill_unseen(dq, false, 0.0f);
  seen.fill_unseen(dk, true, 0.0f);
  seen.fill_unseen(dv, true, 0.0f);
  return true;
}

}  // namespace engine
