// Optimizers. Traffic in bytes per parameter, gradient f32 / bf16: sum_of_squares 4 / 2; adam_update 28 / 26,
// sgd_update 12 / 10 and with momentum 20 / 18, each 2 more for a bf16 copy and 4 / 2 more for zeroing. Bound by
// memory.
#include "kernels/optimizer.h"

#include <cmath>

#include "kernels/cuda/device.h"

namespace engine {
namespace {

constexpr int kThreads = 256;
constexpr int kPerThread = 4;  // parameters: 16 bytes of f32

// ---- the norm ----

constexpr int64_t kMostBlocks = 792;  // 6 per multiprocessor; a constant, so that the order depends on the size alone

template <bool kAligned, class T>
__global__ void __launch_bounds__(kThreads, 6) partial_squares_kernel(int64_t count, const T* x, double* partial) {
  constexpr int kCount = kLanes<T>;
  const int64_t stride = int64_t{gridDim.x} * kThreads * kCount;
  double sum = 0;
  const auto add = [&sum](T element) {
    const double value = to_f32(element);
    sum += value * value;
  };
  for (int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kCount; first < count; first += stride) {
    if (first + kCount <= count) {
      const auto pack = load_pack<kAligned, kCount>(x + first);
#pragma unroll
      for (int i = 0; i < kCount; ++i) add(pack.at[i]);
    } else {
      for (int64_t i = first; i < count; ++i) add(x[i]);
    }
  }
  sum = block_reduce(sum, 0.0, Sum{});
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void add_partial_kernel(int count, const double* partial, float* result) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += partial[i];
  sum = block_reduce(sum, 0.0, Sum{});
  if (threadIdx.x == 0) *result = static_cast<float>(sum);
}

__global__ void clip_and_flag_kernel(const float* sum_of_squares, double max_norm, float* clip_factor, float* skip) {
  const double norm = sqrt(static_cast<double>(*sum_of_squares));
  const bool finite = isfinite(norm);
  const double limit = max_norm / (norm + 1e-6);
  *clip_factor = !finite ? 0.0f : max_norm > 0 && limit < 1 ? static_cast<float>(limit) : 1.0f;
  *skip = finite ? 0.0f : 1.0f;
}

// ---- updates ----

// StepViews on the device.
struct StepPointers {
  const float* learning_rate;
  const int64_t* step;
  const float* clip_factor;
  const float* skip;
};

// A rule: kMoments, how many moments it keeps; begin(), which reads what is new in this step; and the update of one
// parameter. Products and sums are fused by hand, so that every instance rounds alike.
template <bool kMomentum>
struct SgdRule {
  static constexpr int kMoments = kMomentum ? 1 : 0;
  float momentum, decay;
  bool nesterov;
  float lr = 0, clip = 0;

  __device__ void begin(const StepPointers& s) {
    lr = *s.learning_rate;
    clip = *s.clip_factor;
  }
  __device__ void operator()(float gradient, float& param, float* moment) const {
    const float g = fmaf(decay, param, clip * gradient);
    float direction = g;
    if constexpr (kMomentum) {
      moment[0] = fmaf(momentum, moment[0], g);
      direction = nesterov ? fmaf(momentum, moment[0], g) : moment[0];
    }
    param = fmaf(-lr, direction, param);
  }
};

struct AdamRule {
  static constexpr int kMoments = 2;
  float beta1, rest1, log_beta1, beta2, rest2, log_beta2, eps;
  float added, taken;  // what decay adds to the gradient, and what it takes from the parameter (times the rate)
  float clip = 0, stride = 0, spread = 0;

  __device__ void begin(const StepPointers& s) {
    const float lr = *s.learning_rate, step = static_cast<float>(*s.step);
    clip = *s.clip_factor;
    stride = lr / -expm1f(step * log_beta1);  // 1 - beta^step, without cancellation
    spread = 1.0f / sqrtf(-expm1f(step * log_beta2));
    taken *= lr;
  }
  __device__ void operator()(float gradient, float& param, float* moment) const {
    const float g = fmaf(added, param, clip * gradient);
    moment[0] = fmaf(beta1, moment[0], rest1 * g);
    moment[1] = fmaf(beta2, moment[1], rest2 * g * g);
    param -= fmaf(taken, param, stride * moment[0] / fmaf(sqrtf(moment[1]), spread, eps));
  }
};

template <class G>
struct Arenas {
  G* grad;
  float* param;
  float* moments[2];
  __nv_bfloat16* copy;
};

// kCount parameters from `first` on. Everything is loaded before the flag is looked at, so that nothing waits for it.
template <bool kAligned, int kCount, class Rule, class G>
__device__ void update(int64_t first, Rule rule, const StepPointers& s, bool zero_grad, const Arenas<G>& a) {
  const auto grad = load_pack<kAligned, kCount>(a.grad + first);
  auto param = load_pack<kAligned, kCount>(a.param + first);
  Pack<float, kCount> moments[Rule::kMoments + 1];
#pragma unroll
  for (int k = 0; k < Rule::kMoments; ++k) moments[k] = load_pack<kAligned, kCount>(a.moments[k] + first);
  if (zero_grad) store_pack<kAligned, kCount>(a.grad + first, Pack<G, kCount>{});
  if (*s.skip != 0) return;
  rule.begin(s);
  Pack<__nv_bfloat16, kCount> copy;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    float moment[Rule::kMoments + 1];
#pragma unroll
    for (int k = 0; k < Rule::kMoments; ++k) moment[k] = moments[k].at[i];
    rule(to_f32(grad.at[i]), param.at[i], moment);
#pragma unroll
    for (int k = 0; k < Rule::kMoments; ++k) moments[k].at[i] = moment[k];
    copy.at[i] = from_f32<__nv_bfloat16>(param.at[i]);
  }
  store_pack<kAligned, kCount>(a.param + first, param);
#pragma unroll
  for (int k = 0; k < Rule::kMoments; ++k) store_pack<kAligned, kCount>(a.moments[k] + first, moments[k]);
  if (a.copy) store_pack<kAligned, kCount>(a.copy + first, copy);
}

template <bool kAligned, class Rule, class G>
__global__ void update_kernel(int64_t count, Rule rule, StepPointers s, bool zero_grad, Arenas<G> a) {
  const int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kPerThread;
  if (first + kPerThread <= count)
    update<kAligned, kPerThread>(first, rule, s, zero_grad, a);
  else
    for (int64_t i = first; i < count; ++i) update<false, 1>(i, rule, s, zero_grad, a);
}

template <class Rule>
void update_all(CudaContext& ctx, const char* name, const Rule& rule, const StepViews& s, bool zero_grad,
                const View& grad, const View& param, const View& m, const View& v, const View& copy) {
  dispatch_device_float(grad.dtype, [&]<class G>() {
    const StepPointers step{s.learning_rate.as<float>(), s.step.as<int64_t>(), s.clip_factor.as<float>(),
                            s.skip.as<float>()};
    const Arenas<G> arenas{
        grad.as<G>(), param.as<float>(), {optional<float>(m), optional<float>(v)}, optional<__nv_bfloat16>(copy)};
    dispatch_bool(aligned16(0, grad, param, m, v, copy), [&]<bool kAligned>() {
      launch(ctx, name, update_kernel<kAligned, Rule, G>, blocks_for(grad.elements(), kThreads * kPerThread), kThreads,
             0, grad.elements(), rule, step, zero_grad, arenas);
    });
  });
}

}  // namespace

void sum_of_squares(CudaContext& ctx, ConstView x, View result) {
  dispatch_device_float(x.dtype, [&]<class T>() {
    const unsigned blocks =
        static_cast<unsigned>(std::min<int64_t>(kMostBlocks, blocks_for(x.elements(), kThreads * kLanes<T>)));
    CudaScratch partial(ctx, blocks * sizeof(double));
    dispatch_bool(aligned16(0, x), [&]<bool kAligned>() {
      launch(ctx, "sum_of_squares", partial_squares_kernel<kAligned, T>, blocks, kThreads, 0, x.elements(), x, partial);
    });
    launch(ctx, "sum_of_squares", add_partial_kernel, 1, kThreads, 0, blocks, partial, result);
  });
}

void clip_and_flag(CudaContext& ctx, ConstView sum_of_squares, double max_norm, View clip_factor, View skip) {
  launch(ctx, "clip_and_flag", clip_and_flag_kernel, 1, 1, 0, sum_of_squares, max_norm, clip_factor, skip);
}

void sgd_update(CudaContext& ctx, const Sgd& p, const StepViews& s, View grad, View param, View m, View copy) {
  const auto momentum = static_cast<float>(p.momentum), decay = static_cast<float>(p.weight_decay);
  dispatch_bool(m.defined(), [&]<bool kMomentum>() {
    update_all(ctx, "sgd_update", SgdRule<kMomentum>{.momentum = momentum, .decay = decay, .nesterov = p.nesterov}, s,
               p.zero_grad, grad, param, m, {}, copy);
  });
}

void adam_update(CudaContext& ctx, const Adam& p, const StepViews& s, View grad, View param, View m, View v,
                 View copy) {
  const auto f32 = [](double value) { return static_cast<float>(value); };
  const float decay = f32(p.weight_decay);
  const AdamRule rule{.beta1 = f32(p.beta1),
                      .rest1 = f32(1 - p.beta1),
                      .log_beta1 = f32(std::log(p.beta1)),
                      .beta2 = f32(p.beta2),
                      .rest2 = f32(1 - p.beta2),
                      .log_beta2 = f32(std::log(p.beta2)),
                      .eps = f32(p.eps),
                      .added = p.decoupled ? 0.0f : decay,
                      .taken = p.decoupled ? decay : 0.0f};
  update_all(ctx, "adam_update", rule, s, p.zero_grad, grad, param, m, v, copy);
}

}  // namespace engine
