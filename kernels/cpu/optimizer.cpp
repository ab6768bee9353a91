#include "kernels/optimizer.h"

#include <cmath>

#include "kernels/cpu/ordered_sums.h"

namespace engine {
namespace {

double value_of(const ConstView& view) {
  return dispatch_float(view.dtype, [&]<class T>() { return static_cast<double>(*view.as<T>()); });
}

// Calls rule(i, gradient) for every parameter unless the step is skipped, and does what else the pass is asked for. In
// tiles that stay in the cache; a bf16 gradient is converted tile by tile, so that one loop does the arithmetic of
// both.
template <class T, class Rule>
void update_all(const StepViews& s, bool zero_grad, const View& grad, const View& param, const View& copy,
                const Rule& rule) {
  constexpr int64_t kTile = 4096;
  const bool skip = value_of(s.skip) != 0;
  const int64_t count = grad.elements();
  T* const same = grad.dtype == param.dtype ? grad.as<T>() : nullptr;
  bf16* const narrow = same ? nullptr : grad.as<bf16>();
  const T* value = param.as<T>();
  bf16* rounded = copy.defined() ? copy.as<bf16>() : nullptr;
  parallel_rows((count + kTile - 1) / kTile, kTile, [&](int64_t tile) {
    T converted[kTile];
    const int64_t first = tile * kTile, length = std::min(kTile, count - first);
    if (narrow) std::transform(narrow + first, narrow + first + length, converted, [](bf16 g) { return T(g); });
    const T* gradient = same ? same + first : converted;
    if (!skip) {
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) rule(first + i, gradient[i]);
      if (rounded)
        for (int64_t i = first; i < first + length; ++i) rounded[i] = bf16(static_cast<float>(value[i]));
    }
    if (zero_grad && same) std::fill_n(same + first, length, T(0));
    if (zero_grad && narrow) std::fill_n(narrow + first, length, bf16{});
  });
}

}  // namespace

void sum_of_squares(CpuContext& ctx, ConstView x, View result) {
  dispatch_all(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    const double sum = ordered_sum(ctx, x.elements(), [in](int64_t i) {
      const auto value = static_cast<double>(in[i]);
      return value * value;
    });
    dispatch_float(result.dtype, [&]<class R>() { *result.as<R>() = static_cast<R>(sum); });
  });
}

void clip_and_flag(CpuContext&, ConstView sum_of_squares, double max_norm, View clip_factor, View skip) {
  const double norm = std::sqrt(value_of(sum_of_squares));
  const bool finite = std::isfinite(norm);
  const double clip = max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
  *clip_factor.as<float>() = finite ? static_cast<float>(clip) : 0.0f;
  *skip.as<float>() = finite ? 0.0f : 1.0f;
}

void sgd_update(CpuContext&, const Sgd& p, const StepViews& s, View grad, View param, View m, View copy) {
  dispatch_float(param.dtype, [&]<class T>() {
    const T lr = static_cast<T>(value_of(s.learning_rate)), clip = static_cast<T>(value_of(s.clip_factor));
    const T decay = static_cast<T>(p.weight_decay), momentum = static_cast<T>(p.momentum);
    const bool nesterov = p.nesterov;
    T* value = param.as<T>();
    if (!m.defined())
      return update_all<T>(s, p.zero_grad, grad, param, copy,
                           [=](int64_t i, T gradient) { value[i] -= lr * (clip * gradient + decay * value[i]); });
    T* moving = m.as<T>();
    update_all<T>(s, p.zero_grad, grad, param, copy, [=](int64_t i, T gradient) {
      const T g = clip * gradient + decay * value[i];
      moving[i] = momentum * moving[i] + g;
      value[i] -= lr * (nesterov ? g + momentum * moving[i] : moving[i]);
    });
  });
}

void adam_update(CpuContext&, const Adam& p, const StepViews& s, View grad, View param, View m, View v, View copy) {
  const auto step = static_cast<double>(*s.step.as<int64_t>());
  const double learning_rate = value_of(s.learning_rate);
  dispatch_float(param.dtype, [&]<class T>() {
    const T clip = static_cast<T>(value_of(s.clip_factor)), eps = static_cast<T>(p.eps);
    const T beta1 = static_cast<T>(p.beta1), rest1 = static_cast<T>(1 - p.beta1);
    const T beta2 = static_cast<T>(p.beta2), rest2 = static_cast<T>(1 - p.beta2);
    const T stride = static_cast<T>(learning_rate / (1 - std::pow(p.beta1, step)));
    const T spread = static_cast<T>(1 / std::sqrt(1 - std::pow(p.beta2, step)));
    const T added = p.decoupled ? T(0) : static_cast<T>(p.weight_decay);
    const T taken = p.decoupled ? static_cast<T>(learning_rate * p.weight_decay) : T(0);
    T *value = param.as<T>(), *first = m.as<T>(), *second = v.as<T>();
    update_all<T>(s, p.zero_grad, grad, param, copy, [=](int64_t i, T gradient) {
      const T g = clip * gradient + added * value[i];
      first[i] = beta1 * first[i] + rest1 * g;
      second[i] = beta2 * second[i] + rest2 * g * g;
      value[i] -= stride * first[i] / (std::sqrt(second[i]) * spread + eps) + taken * value[i];
    });
  });
}

}  // namespace engine
