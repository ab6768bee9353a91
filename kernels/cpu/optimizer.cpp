#include "kernels/optimizer.h"

#include <cmath>

#include "kernels/cpu/ordered_sums.h"

namespace engine {
namespace {

double value_of(const ConstView& view) {
  return dispatch_float(view.dtype, [&]<class T>() { return static_cast<double>(*view.as<T>()); });
}

}  // namespace

void sum_of_squares(CpuContext& ctx, ConstView x, View result) {
  dispatch_float(x.dtype, [&]<class T>() {
    const T* in = x.as<T>();
    const double sum = ordered_sum(ctx, x.elements(), [in](int64_t i) {
      const auto value = static_cast<double>(in[i]);
      return value * value;
    });
    *result.as<T>() = static_cast<T>(sum);
  });
}

void clip_and_flag(CpuContext&, ConstView sum_of_squares, double max_norm, View clip_factor, View skip) {
  const double norm = std::sqrt(value_of(sum_of_squares));
  const bool finite = std::isfinite(norm);
  const double clip = max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
  *clip_factor.as<float>() = finite ? static_cast<float>(clip) : 0.0f;
  *skip.as<float>() = finite ? 0.0f : 1.0f;
}

void sgd_update(CpuContext&, const Sgd& p, const StepViews& s, ConstView grad, View param, View m) {
  if (value_of(s.skip) != 0) return;
  dispatch_float(grad.dtype, [&]<class T>() {
    const T lr = static_cast<T>(value_of(s.learning_rate)), clip = static_cast<T>(value_of(s.clip_factor));
    const T decay = static_cast<T>(p.weight_decay), momentum = static_cast<T>(p.momentum);
    const T* gradient = grad.as<T>();
    T *value = param.as<T>(), *moving = m.defined() ? m.as<T>() : nullptr;
    parallel_for(grad.elements(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
      if (!moving) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) value[i] -= lr * (clip * gradient[i] + decay * value[i]);
        return;
      }
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const T g = clip * gradient[i] + decay * value[i];
        moving[i] = momentum * moving[i] + g;
        value[i] -= lr * (p.nesterov ? g + momentum * moving[i] : moving[i]);
      }
    });
  });
}

void adam_update(CpuContext&, const Adam& p, const StepViews& s, ConstView grad, View param, View m, View v) {
  if (value_of(s.skip) != 0) return;
  const auto step = static_cast<double>(*s.step.as<int64_t>());
  const double learning_rate = value_of(s.learning_rate);
  dispatch_float(grad.dtype, [&]<class T>() {
    const T clip = static_cast<T>(value_of(s.clip_factor)), eps = static_cast<T>(p.eps);
    const T beta1 = static_cast<T>(p.beta1), rest1 = static_cast<T>(1 - p.beta1);
    const T beta2 = static_cast<T>(p.beta2), rest2 = static_cast<T>(1 - p.beta2);
    const T stride = static_cast<T>(learning_rate / (1 - std::pow(p.beta1, step)));
    const T spread = static_cast<T>(1 / std::sqrt(1 - std::pow(p.beta2, step)));
    const T added = p.decoupled ? T(0) : static_cast<T>(p.weight_decay);
    const T taken = p.decoupled ? static_cast<T>(learning_rate * p.weight_decay) : T(0);
    const T* gradient = grad.as<T>();
    T *value = param.as<T>(), *first = m.as<T>(), *second = v.as<T>();
    parallel_for(grad.elements(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const T g = clip * gradient[i] + added * value[i];
        first[i] = beta1 * first[i] + rest1 * g;
        second[i] = beta2 * second[i] + rest2 * g * g;
        value[i] -= stride * first[i] / (std::sqrt(second[i]) * spread + eps) + taken * value[i];
      }
    });
  });
}

}  // namespace engine
