// Normalisation where the case table does not go: large means, many steps, unused outputs, threads.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/cpu/context.h"
#include "tests/cuda_device.h"
#include "tests/op_check.h"

namespace engine {
using test::devices;
namespace {

// The largest difference between two tensors.
double distance(const Tensor& a, const Tensor& b) {
  const Tensor x = cast(a.to(kCpu), DType::f64), y = cast(b.to(kCpu), DType::f64);
  double largest = 0;
  for (size_t i = 0; i < x.values<double>().size(); ++i)
    largest = std::max(largest, std::abs(x.values<double>()[i] - y.values<double>()[i]));
  return largest;
}

struct Norm {
  Tensor w, bias, running_mean, running_var;
  Norm(int64_t channels, DType dtype, Device device = kCpu)
      : w(Tensor::full({channels}, 1.25, dtype, device)),
        bias(Tensor::full({channels}, -0.5, dtype, device)),
        running_mean(Tensor::zeros({channels}, dtype, device)),
        running_var(Tensor::full({channels}, 1.0, dtype, device)) {}
};

}  // namespace

TEST_CASE("a mean a thousand times the deviation costs no more digits than the inputs have lost") {
  Random random(1);
  const Tensor exact = cast(normal({512, 48}, 1000, 1, random), DType::f64), single = cast(exact, DType::f32);
  const Norm f64(48, DType::f64);
  const Tensor layer = layer_norm(exact, f64.w, f64.bias),
               batch = batch_norm(exact, f64.w, f64.bias, f64.running_mean, f64.running_var, true);
  for (const Device device : devices()) {
    INFO(device);
    const Norm f32(48, DType::f32, device);
    const Tensor x = single.to(device);
    // One unit in the last place of 1000 is 6e-5.
    CHECK(distance(layer_norm(x, f32.w, f32.bias), layer) < 1e-4);
    CHECK(distance(batch_norm(x, f32.w, f32.bias, f32.running_mean, f32.running_var, true), batch) < 1e-4);
    const Tensor variance = f32.running_var.to(kCpu);
    for (size_t c = 0; c < 48; ++c)
      CHECK(variance.values<float>()[c] == doctest::Approx(f64.running_var.values<double>()[c]).epsilon(1e-6));
  }
}

TEST_CASE("running statistics after 1,000 steps") {
  for (const Device device : devices()) {
    INFO(device);
    const Norm f64(9, DType::f64), f32(9, DType::f32, device);
    Random random(2);
    std::vector<double> mean(9, 0.0), variance(9, 1.0);
    for (int step = 0; step < 1000; ++step) {
      const Tensor x = normal({14, 9}, 3, 2, random), exact = cast(x, DType::f64);
      batch_norm(x.to(device), f32.w, f32.bias, f32.running_mean, f32.running_var, true);
      batch_norm(exact, f64.w, f64.bias, f64.running_mean, f64.running_var, true);
      for (size_t c = 0; c < 9; ++c) {
        double sum = 0, squares = 0;
        for (size_t row = 0; row < 14; ++row) sum += exact.values<double>()[9 * row + c];
        for (size_t row = 0; row < 14; ++row) squares += std::pow(exact.values<double>()[9 * row + c] - sum / 14, 2);
        mean[c] = 0.9 * mean[c] + 0.1 * sum / 14;
        variance[c] = 0.9 * variance[c] + 0.1 * squares / 13;
      }
    }
    const Tensor mean32 = f32.running_mean.to(kCpu), variance32 = f32.running_var.to(kCpu);
    for (size_t c = 0; c < 9; ++c) {
      CHECK(f64.running_mean.values<double>()[c] == doctest::Approx(mean[c]).epsilon(1e-12));
      CHECK(f64.running_var.values<double>()[c] == doctest::Approx(variance[c]).epsilon(1e-12));
      CHECK(mean32.values<float>()[c] == doctest::Approx(mean[c]).epsilon(1e-6));
      CHECK(variance32.values<float>()[c] == doctest::Approx(variance[c]).epsilon(1e-6));
    }
  }
}

TEST_CASE("evaluation leaves the running statistics alone") {
  for (const Device device : devices()) {
    INFO(device);
    const Norm norm(4, DType::f32, device);
    const Tensor mean = norm.running_mean.clone(), variance = norm.running_var.clone();
    Random random(3);
    const Tensor x = normal({6, 4}, 5, 1, random).to(device);
    batch_norm(x, norm.w, norm.bias, norm.running_mean, norm.running_var, false);
    CHECK(distance(mean, norm.running_mean) == 0);
    CHECK(distance(variance, norm.running_var) == 0);
  }
}

TEST_CASE("no rows: nothing comes out, and the weights' gradients are 0") {
  for (const Device device : devices()) {
    INFO(device);
    for (const bool layer : {true, false}) {
      const Norm norm(20, DType::f32, device);
      const Tensor x = Tensor::zeros({0, 20}, DType::f32, device);
      for (const Tensor& leaf : {norm.w, norm.bias}) leaf.set_requires_grad();
      const Tensor y = layer ? layer_norm(x, norm.w, norm.bias)
                             : batch_norm(x, norm.w, norm.bias, norm.running_mean, norm.running_var, false);
      REQUIRE(y.shape() == x.shape());
      y.backward(x);
      for (const Tensor& leaf : {norm.w, norm.bias}) {
        const Tensor grad = leaf.grad().to(kCpu);
        for (const float each : grad.values<float>()) CHECK(each == 0);
      }
    }
  }
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

TEST_CASE("more rows than all blocks of CUDA's kernels take in one turn") {
  if (!test::have_device()) return;
  Random random(6);
  const auto check = [&](const Shape& shape, const auto& norm) {
    std::vector<Tensor> inputs{normal(shape, 0, 1, random), uniform({shape[-1]}, 0.5, 2, random),
                               normal({shape[-1]}, 0, 1, random), normal(shape, 0, 1, random)};
    const auto run = [&](DType dtype, Device device) {
      std::vector<Tensor> leaves;
      for (const Tensor& input : inputs) leaves.push_back(cast(input, dtype).to(device).detach());
      for (size_t i = 0; i < 3; ++i) leaves[i].set_requires_grad();
      const Tensor y = norm(leaves[0], leaves[1], leaves[2]);
      y.backward(leaves[3]);
      return std::vector<Tensor>{y.detach().to(kCpu), leaves[0].grad().to(kCpu), leaves[1].grad().to(kCpu),
                                 leaves[2].grad().to(kCpu)};
    };
    const std::vector<Tensor> got = run(DType::f32, test::kCuda), expected = run(DType::f64, kCpu);
    for (size_t i = 0; i < got.size(); ++i) {
      INFO(shape, " ", i);
      CHECK(test::relative_l2(got[i], expected[i]) < 1e-6);
    }
  };
  check({4300, 65}, [](const Tensor& x, const Tensor& w, const Tensor& bias) { return layer_norm(x, w, bias); });
  check({17100, 127}, [](const Tensor& x, const Tensor& w, const Tensor& bias) {
    return batch_norm(x, w, bias, w.clone(), w.clone(), true);
  });
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
  const int threads = cpu_threads();
  const std::vector<Tensor> as_is = all();
  set_cpu_threads(threads == 1 ? 3 : 1);
  const std::vector<Tensor> others = all();
  set_cpu_threads(threads);
  for (size_t i = 0; i < as_is.size(); ++i)
    CHECK(std::memcmp(as_is[i].memory(), others[i].memory(), as_is[i].bytes()) == 0);
}

}  // namespace engine
