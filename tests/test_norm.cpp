// Normalisation where the case table does not go: large means, many steps, unused outputs, threads.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/cpu/context.h"

namespace engine {
namespace {

// The largest difference between two tensors.
double distance(const Tensor& a, const Tensor& b) {
  const Tensor x = cast(a, DType::f64), y = cast(b, DType::f64);
  double largest = 0;
  for (size_t i = 0; i < x.values<double>().size(); ++i)
    largest = std::max(largest, std::abs(x.values<double>()[i] - y.values<double>()[i]));
  return largest;
}

struct Norm {
  Tensor w, bias, running_mean, running_var;
  Norm(int64_t channels, DType dtype)
      : w(Tensor::full({channels}, 1.25, dtype)),
        bias(Tensor::full({channels}, -0.5, dtype)),
        running_mean(Tensor::zeros({channels}, dtype)),
        running_var(Tensor::full({channels}, 1.0, dtype)) {}
};

}  // namespace

TEST_CASE("a mean a thousand times the deviation costs no more digits than the inputs have lost") {
  Random random(1);
  const Tensor exact = cast(normal({512, 48}, 1000, 1, random), DType::f64);
  const Norm f64(48, DType::f64), f32(48, DType::f32);
  const Tensor x = cast(exact, DType::f32);
  // One unit in the last place of 1000 is 6e-5.
  CHECK(distance(layer_norm(x, f32.w, f32.bias), layer_norm(exact, f64.w, f64.bias)) < 1e-4);
  CHECK(distance(batch_norm(x, f32.w, f32.bias, f32.running_mean, f32.running_var, true),
                 batch_norm(exact, f64.w, f64.bias, f64.running_mean, f64.running_var, true)) < 1e-4);
  for (int64_t c = 0; c < 48; ++c) {
    const auto i = static_cast<size_t>(c);
    CHECK(f32.running_var.values<float>()[i] == doctest::Approx(f64.running_var.values<double>()[i]).epsilon(1e-6));
  }
}

TEST_CASE("running statistics after 1,000 steps") {
  const Norm f64(9, DType::f64), f32(9, DType::f32);
  Random random(2);
  std::vector<double> mean(9, 0.0), variance(9, 1.0);
  for (int step = 0; step < 1000; ++step) {
    const Tensor x = normal({14, 9}, 3, 2, random), exact = cast(x, DType::f64);
    batch_norm(x, f32.w, f32.bias, f32.running_mean, f32.running_var, true);
    batch_norm(exact, f64.w, f64.bias, f64.running_mean, f64.running_var, true);
    for (size_t c = 0; c < 9; ++c) {
      double sum = 0, squares = 0;
      for (size_t row = 0; row < 14; ++row) sum += exact.values<double>()[9 * row + c];
      for (size_t row = 0; row < 14; ++row) squares += std::pow(exact.values<double>()[9 * row + c] - sum / 14, 2);
      mean[c] = 0.9 * mean[c] + 0.1 * sum / 14;
      variance[c] = 0.9 * variance[c] + 0.1 * squares / 13;
    }
  }
  for (size_t c = 0; c < 9; ++c) {
    CHECK(f64.running_mean.values<double>()[c] == doctest::Approx(mean[c]).epsilon(1e-12));
    CHECK(f64.running_var.values<double>()[c] == doctest::Approx(variance[c]).epsilon(1e-12));
    CHECK(f32.running_mean.values<float>()[c] == doctest::Approx(mean[c]).epsilon(1e-6));
    CHECK(f32.running_var.values<float>()[c] == doctest::Approx(variance[c]).epsilon(1e-6));
  }
}

TEST_CASE("evaluation leaves the running statistics alone") {
  const Norm norm(4, DType::f32);
  const Tensor mean = norm.running_mean.clone(), variance = norm.running_var.clone();
  Random random(3);
  batch_norm(normal({6, 4}, 5, 1, random), norm.w, norm.bias, norm.running_mean, norm.running_var, false);
  CHECK(distance(mean, norm.running_mean) == 0);
  CHECK(distance(variance, norm.running_var) == 0);
}

TEST_CASE("residual_layer_norm with one of its outputs unused") {
  Random random(4);
  const auto leaf = [&] {
    const Tensor x = normal({3, 5}, 0, 1, random, DType::f64);
    x.set_requires_grad();
    return x;
  };
  const Norm norm(5, DType::f64);
  norm.w.set_requires_grad();
  const Tensor x = leaf(), residual = leaf(), seed = normal({3, 5}, 0, 1, random, DType::f64);
  // Only the sum: its gradient passes through, w has none.
  residual_layer_norm(x, residual, norm.w, norm.bias)[1].backward(seed);
  CHECK(distance(x.grad(), seed) == 0);
  CHECK(distance(residual.grad(), seed) == 0);
  CHECK(!norm.w.grad().defined());
  // Only the normalised output: as layer_norm of the sum.
  x.zero_grad();
  residual.zero_grad();
  residual_layer_norm(x, residual, norm.w, norm.bias)[0].backward(seed);
  const Tensor added = add(x.detach(), residual.detach());
  added.set_requires_grad();
  layer_norm(added, norm.w.detach(), norm.bias).backward(seed);
  CHECK(distance(x.grad(), added.grad()) == 0);
  CHECK(distance(residual.grad(), added.grad()) == 0);
}

TEST_CASE("normalisation does not depend on the number of threads") {
  Random random(5);
  const Tensor x = normal({2000, 33}, 0, 1, random), seed = normal({2000, 33}, 0, 1, random);
  const auto all = [&] {
    const Norm norm(33, DType::f32);
    std::vector<Tensor> results;
    for (const bool layer : {true, false}) {
      for (const Tensor& leaf : {x, norm.w, norm.bias}) {
        leaf.set_requires_grad();
        leaf.zero_grad();
      }
      const Tensor y = layer ? layer_norm(x, norm.w, norm.bias)
                             : batch_norm(x, norm.w, norm.bias, norm.running_mean, norm.running_var, true);
      y.backward(seed);
      results.insert(results.end(), {y.detach(), x.grad(), norm.w.grad(), norm.bias.grad(), norm.running_var});
    }
    return results;
  };
  const int threads = cpu_context().threads();
  const std::vector<Tensor> as_is = all();
  cpu_context().set_threads(threads == 1 ? 3 : 1);
  const std::vector<Tensor> others = all();
  cpu_context().set_threads(threads);
  for (size_t i = 0; i < as_is.size(); ++i)
    CHECK(std::memcmp(as_is[i].memory(), others[i].memory(), as_is[i].bytes()) == 0);
}

}  // namespace engine
