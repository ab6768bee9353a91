// Convolutions by cuDNN: a plan per key, built at its first use and kept in the context. Bound by tensor cores from
// about 64 channels on each side (3x3, bf16), by memory below and for 1x1.
#include "kernels/conv.h"

#include <array>
#include <map>
#include <optional>

#include "kernels/copy.h"
#include "kernels/cuda/execute_plan.h"
#include "kernels/cuda/pad_channels.h"
#include "kernels/cuda/plans.h"

namespace engine {
namespace {

struct Plans {
  std::optional<DeviceDescription> device;
  std::map<ConvKey, std::shared_ptr<const ConvPlan>> plans;
};

int64_t elements(int64_t outer, const Space& space, int64_t channels) {
  return outer * space[0] * space[1] * space[2] * channels;
}

std::shared_ptr<const ConvPlan> make_plan(CudaContext& ctx, const ConvKey& key, const DeviceDescription& device) {
  Trial trial{.problem = text_of(key), .dtype = key.dtype, .results = 3};
  const auto plans = build_plans(key, device, wanted_plans(ctx, trial.problem));
  for (const auto& plan : plans) {
    trial.candidates.push_back(plan->engine);
    trial.workspace_bytes = std::max(trial.workspace_bytes, plan->workspace_bytes);
  }
  const int64_t w = elements(key.k, key.w, key.c / key.groups), y = elements(key.n, key.y, key.k);
  const size_t result = std::array{3, 1, 2}[key.pass];
  trial.terms = std::array{w / key.k + 1, w / key.c, y / key.k}[key.pass];
  trial.operands = {key.k, elements(key.n, key.x, key.c), w, y};
  std::swap(trial.operands[result], trial.operands.back());
  trial.run = [&](size_t candidate, std::vector<void*> memory, void* workspace) {
    std::swap(memory[result], memory[3]);
    execute_plan(ctx, *plans[candidate], {memory[1], memory[2], memory[3], memory[0]}, workspace);
  };
  return plans[choose_plan(ctx, trial)];
}

const ConvPlan& plan_for(CudaContext& ctx, const ConvKey& key) {
  Plans& cache = ctx.cache<Plans>();
  if (!cache.device) cache.device = describe_device(ctx);
  std::shared_ptr<const ConvPlan>& plan = cache.plans[key];
  if (plan == nullptr) plan = make_plan(ctx, key, *cache.device);
  return *plan;
}

// A tensor as cuDNN takes it: itself, or a copy because it starts at an odd address or has fewer channels than the key.
class Operand {
 public:
  Operand(CudaContext& ctx, const ConstView& tensor, int64_t channels) : ctx_(ctx), tensor_(tensor), used_(tensor) {
    const bool aligned = reinterpret_cast<uintptr_t>(tensor.data) % kConvAlignment == 0;
    if (!tensor.defined() || (aligned && tensor.shape[-1] == channels)) return;
    Shape shape = tensor.shape;
    shape[-1] = channels;
    scratch_.emplace(ctx, static_cast<size_t>(shape.elements() * size_of(tensor.dtype)));
    used_ = scratch_->view(tensor.dtype, shape);
  }

  void* memory() const { return const_cast<void*>(used_.data); }
  // Before the convolution, of what it reads.
  void load() {
    if (!scratch_) return;
    const View into(memory(), used_.dtype, used_.shape);
    used_.shape == tensor_.shape ? copy(ctx_, tensor_, into) : pad_channels(ctx_, tensor_, into);
  }
  // After it, of what it writes.
  void store(const View& result) {
    if (scratch_) copy(ctx_, ConstView(used_.data, used_.dtype, tensor_.shape, used_.strides), result);
  }

 private:
  CudaContext& ctx_;
  ConstView tensor_, used_;
  std::optional<CudaScratch> scratch_;
};

// `x`, `w` and `y` by role; `result` is the one that the pass writes.
void convolve(CudaContext& ctx, ConvKey::Pass pass, ConvKey::Epilogue epilogue, const Conv3d& p, const ConstView& x,
              const ConstView& w, const ConstView& bias, const ConstView& y, const View& result) {
  const ConvKey key = conv_key(pass, epilogue, p, x.shape, w.shape, y.shape, result.dtype, f32_products());
  const ConvPlan& plan = plan_for(ctx, key);
  Operand x_operand(ctx, x, key.c), w_operand(ctx, w, key.c / key.groups), y_operand(ctx, y, key.k),
      bias_operand(ctx, bias, key.k);
  if (pass != ConvKey::backward_input) x_operand.load();
  if (pass != ConvKey::backward_weight) w_operand.load();
  if (pass != ConvKey::forward) y_operand.load();
  bias_operand.load();
  execute_plan(ctx, plan, {x_operand.memory(), w_operand.memory(), y_operand.memory(), bias_operand.memory()},
               ctx.workspace(plan.workspace_bytes));
  (pass == ConvKey::forward ? y_operand : pass == ConvKey::backward_input ? x_operand : w_operand).store(result);
}

}  // namespace

void forget_convolution_plans(CudaContext& ctx) { ctx.cache<Plans>().plans.clear(); }

void conv_forward(CudaContext& ctx, const Conv3d& p, const Unary& f, ConstView x, ConstView w, ConstView bias, View y) {
  check_conv(p, x, w, y);
  if (y.elements() == 0) return;
  const ConvKey::Epilogue epilogue = !bias.defined()  ? ConvKey::none
                                     : is_identity(f) ? ConvKey::bias
                                                      : ConvKey::bias_relu;
  convolve(ctx, ConvKey::forward, epilogue, p, x, w, bias, y, y);
  // cuDNN compiles ReLU without a bias at run time, with a bias it has it ready.
  if (epilogue == ConvKey::none && !is_identity(f)) unary_forward(ctx, f, y, y);
}

void conv_backward_input(CudaContext& ctx, const Conv3d& p, ConstView dy, ConstView w, View dx) {
  check_conv(p, dx, w, dy);
  if (dy.elements() == 0) return fill(ctx, dx, 0.0);
  convolve(ctx, ConvKey::backward_input, ConvKey::none, p, dx, w, {}, dy, dx);
}

void conv_backward_weight(CudaContext& ctx, const Conv3d& p, ConstView x, ConstView dy, View dw) {
  check_conv(p, x, dw, dy);
  if (dy.elements() == 0) return fill(ctx, dw, 0.0);
  convolve(ctx, ConvKey::backward_weight, ConvKey::none, p, x, dw, {}, dy, dw);
}

}  // namespace engine
