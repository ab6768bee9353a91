// What the suites of the optimizers on the CPU and on CUDA share.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "engine/ops.h"
#include "engine/optimizer_ops.h"
#include "engine/random.h"

namespace engine::test {

using Values = std::vector<double>;
using Bytes = std::vector<unsigned char>;

inline Values values_of(const Tensor& x) {
  const Tensor exact = cast(x.to(kCpu), DType::f64);
  return {exact.values<double>().begin(), exact.values<double>().end()};
}

inline Bytes bytes_of(const Tensor& x) {
  const Tensor here = x.to(kCpu);
  const auto* first = static_cast<const unsigned char*>(here.memory());
  return {first, first + here.bytes()};
}

inline StepScalars scalars(double learning_rate, int64_t step = 1, double clip = 1, Device device = kCpu,
                           bool skip = false) {
  return {Tensor::full({1}, learning_rate).to(device), Tensor::from<int64_t>({step}).to(device),
          Tensor::full({1}, clip).to(device), Tensor::full({1}, skip ? 1 : 0).to(device)};
}

// The largest difference in units of the last place of `expected`.
inline double ulps(const Tensor& got, const Values& expected) {
  const int digits = got.dtype() == DType::f64 ? 52 : 23;
  const Values values = values_of(got);
  double worst = 0;
  for (size_t i = 0; i < values.size(); ++i)
    worst = std::max(worst, std::abs(values[i] - expected[i]) / std::ldexp(1.0, std::ilogb(expected[i]) - digits));
  return worst;
}

inline double relative(const Tensor& got, const Values& expected) {
  const Values values = values_of(got);
  double error = 0, norm = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += (values[i] - expected[i]) * (values[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(error / norm);
}

// What an update works on.
struct State {
  Tensor param, grad, m, v, copy;

  // The moments are 0, and there is no copy.
  explicit State(DType dtype, int64_t count = 1003) {
    Random random(1);
    param = uniform({count}, 0.5, 2, random, dtype);
    grad = normal({count}, 0, 1, random, dtype);
    m = Tensor::zeros_like(param);
    v = Tensor::zeros_like(param);
  }

  // Copies with the type of the gradient chosen, on a device, with every tensor one element off the start of its
  // memory where `offset`.
  State placed(DType dtype, DType grad_dtype, Device device, bool offset = false) const {
    const auto place = [&](const Tensor& x, DType type) {
      const int64_t begin = offset ? 1 : 0, count = x.elements();
      const Tensor memory = Tensor::zeros({begin + count}, type);
      memory.slice(begin, begin + count).copy_from(x);
      return (device == kCpu ? memory : memory.to(device)).slice(begin, begin + count);
    };
    State s = *this;
    s.param = place(param, dtype);
    s.grad = place(grad, grad_dtype);
    s.m = place(m, dtype);
    s.v = place(v, dtype);
    if (copy) s.copy = place(copy, DType::bf16);
    return s;
  }
};

inline void update(const Sgd& p, const StepScalars& now, const State& s) {
  sgd_update(p, now, s.grad, s.param, p.momentum == 0 ? Tensor() : s.m, s.copy);
}
inline void update(const Adam& p, const StepScalars& now, const State& s) {
  adam_update(p, now, s.grad, s.param, s.m, s.v, s.copy);
}

inline const std::vector<Sgd> kSgd = {{},
                                      {.weight_decay = 0.01},
                                      {.momentum = 0.9},
                                      {.momentum = 0.8, .weight_decay = 0.02},
                                      {.momentum = 0.9, .weight_decay = 0.01, .nesterov = true}};
inline const std::vector<Adam> kAdam = {{},
                                        {.weight_decay = 0.05},
                                        {.weight_decay = 0.05, .decoupled = false},
                                        {.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1}};

// Calls f(rule) for every rule of both kinds.
template <class F>
void for_each_rule(const F& f) {
  for (const Sgd& p : kSgd) {
    INFO("SGD, momentum ", p.momentum, ", decay ", p.weight_decay);
    f(p);
  }
  for (const Adam& p : kAdam) {
    INFO("Adam, decay ", p.weight_decay, ", decoupled ", p.decoupled);
    f(p);
  }
}

inline bool is_zero(const Tensor& x) { return bytes_of(x) == Bytes(x.bytes(), 0); }

// A bf16 gradient, the rounded copy and the zeroed gradient in one pass against casts and updates apart, bit for bit.
template <class Rule>
void check_mixed_precision(const Rule& p, int64_t count, bool offset, Device device) {
  INFO(count, " parameters", offset ? " at an offset" : "", " on ", device);
  State start(DType::f32, count);
  start.grad = cast(start.grad, DType::bf16);
  start.copy = Tensor::full({count}, std::numeric_limits<double>::quiet_NaN(), DType::bf16);
  const State fused = start.placed(DType::f32, DType::bf16, device, offset);
  State apart = start.placed(DType::f32, DType::f32, device);
  apart.copy = {};
  for (int64_t step = 1; step <= 2; ++step) {
    Rule zeroing = p;
    zeroing.zero_grad = step == 2;
    const StepScalars now = scalars(0.01, step, 0.75, device);
    update(zeroing, now, fused);
    update(p, now, apart);
    CHECK(bytes_of(fused.param) == bytes_of(apart.param));
    CHECK(bytes_of(fused.m) == bytes_of(apart.m));
    CHECK(bytes_of(fused.v) == bytes_of(apart.v));
    CHECK(bytes_of(fused.copy) == bytes_of(cast(apart.param.to(kCpu), DType::bf16)));
    if (step == 1) CHECK(bytes_of(fused.grad) == bytes_of(start.grad));
    if (step == 2) CHECK(is_zero(fused.grad));
  }
  CHECK(values_of(apart.grad) == values_of(start.grad));
}

// A skipped step changes no byte; with zero_grad the gradient becomes 0 all the same, whatever it was.
template <class Rule>
void check_skip(Rule p, DType grad_dtype, Device device) {
  State start(DType::f32);
  start.grad.values<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  start.m = start.grad;
  start.v = start.param;
  if (grad_dtype == DType::bf16) start.copy = cast(start.grad, DType::bf16);
  const State s = start.placed(DType::f32, grad_dtype, device);
  const Bytes param = bytes_of(s.param), grad = bytes_of(s.grad), m = bytes_of(s.m), v = bytes_of(s.v);
  for (const bool zero_grad : {false, true}) {
    p.zero_grad = zero_grad;
    update(p, scalars(0.1, 1, 1, device, true), s);
    CHECK(bytes_of(s.param) == param);
    CHECK(bytes_of(s.m) == m);
    CHECK(bytes_of(s.v) == v);
    if (s.copy) CHECK(bytes_of(s.copy) == bytes_of(start.copy));
    if (!zero_grad) CHECK(bytes_of(s.grad) == grad);
    if (zero_grad) CHECK(is_zero(s.grad));
  }
}

}  // namespace engine::test
