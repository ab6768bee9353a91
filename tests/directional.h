// For suites of layers and models: gradients against differences along random directions, and comparing tensors.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "engine/arena.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"

namespace engine::test {

// Of two tensors of one shape; infinity where either is not a number.
inline double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const Tensor x = cast(a.detach(), DType::f64), y = cast(b.detach(), DType::f64);
  double largest = 0;
  for (size_t i = 0; i < x.values<double>().size(); ++i) {
    const double difference = std::abs(x.values<double>()[i] - y.values<double>()[i]);
    largest = std::isnan(difference) ? HUGE_VAL : std::max(largest, difference);
  }
  return largest;
}

// Differentiates loss() of these f64 parameters, and compares with the four-point difference of step h along one random
// direction in each parameter. `loss` gives the same every time.
inline void check_directional(const std::vector<NamedTensor>& parameters, const std::function<Tensor()>& loss,
                              Random& random, double h) {
  loss().backward();
  const NoGrad no_grad;
  for (const NamedTensor& each : parameters) {
    INFO(each.name);
    REQUIRE(each.tensor.grad());
    const auto values = each.tensor.values<double>(), grads = each.tensor.grad().values<double>();
    std::vector<double> direction(values.size()), start(values.begin(), values.end());
    double expected = 0, length = 0;
    for (double& part : direction) {
      part = random.normal();
      length += part * part;
    }
    for (size_t i = 0; i < direction.size(); ++i) expected += (direction[i] /= std::sqrt(length)) * grads[i];
    const auto at = [&](double step) {
      for (size_t i = 0; i < direction.size(); ++i) values[i] = start[i] + step * direction[i];
      return loss().item();
    };
    const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    at(0);
    CHECK(std::abs(numeric - expected) <= 1e-7 * std::abs(numeric) + 1e-9);
  }
}

}  // namespace engine::test
