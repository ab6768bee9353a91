// Softmax and losses where the case table does not go: extreme logits, gradients that are nearly 0, threads.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/cpu/context.h"
#include "tests/cuda_device.h"

namespace engine {
using test::devices, test::kCuda;
namespace {

const double kInfinity = std::numeric_limits<double>::infinity();

struct Result {
  double loss;
  std::vector<double> gradient;
};

// One row of logits through cross_entropy.
Result row_entropy(Device device, DType dtype, const std::vector<double>& logits, int64_t label,
                   const CrossEntropy& p = {}) {
  const Tensor x = cast(Tensor::from(logits, {1, static_cast<int64_t>(logits.size())}), dtype).to(device).detach();
  x.set_requires_grad();
  const Tensor loss = cross_entropy(x, Tensor::from<int64_t>({label}).to(device), p);
  loss.backward();
  const Tensor gradient = cast(x.grad().to(kCpu), DType::f64);
  return {loss.item(), {gradient.values<double>().begin(), gradient.values<double>().end()}};
}

}  // namespace

TEST_CASE("cross entropy of logits of 10,000") {
  for (const Device device : devices())
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      if (device == kCuda && dtype == DType::f64) continue;
      INFO(device, " ", name_of(dtype));
      const double big = 9984;  // exact in bf16
      const Result right = row_entropy(device, dtype, {-big, big, -big}, 1);
      CHECK(right.loss == 0);
      for (const double each : right.gradient) CHECK(each == 0);
      const Result wrong = row_entropy(device, dtype, {-big, big, -big}, 0);
      CHECK(wrong.loss == doctest::Approx(2 * big).epsilon(1e-7));
      CHECK(wrong.gradient == std::vector<double>{-1, 1, 0});
      const Result even = row_entropy(device, dtype, {big, big, big, big}, 2);
      CHECK(even.loss == doctest::Approx(std::log(4.0)).epsilon(1e-7));
      CHECK(even.gradient == std::vector<double>{0.25, 0.25, -0.75, 0.25});
    }
}

TEST_CASE("a row that is nearly right keeps the digits of its loss and gradient in f32") {
  const double others = 2 * std::exp(-20.0);
  for (const Device device : devices()) {
    INFO(device);
    const Result row = row_entropy(device, DType::f32, {20, 0, 0}, 0);
    CHECK(row.loss == doctest::Approx(std::log1p(others)).epsilon(1e-6));
    CHECK(row.gradient[0] == doctest::Approx(-others / (1 + others)).epsilon(1e-6));
    CHECK(row.gradient[1] == doctest::Approx(others / 2 / (1 + others)).epsilon(1e-6));
  }
}

TEST_CASE("a class masked by minus infinity has no part; other values that are not finite stay visible") {
  for (const Device device : devices()) {
    INFO(device);
    for (const CrossEntropy& p : {CrossEntropy{}, CrossEntropy{.ignore_index = 5}}) {
      const Result masked = row_entropy(device, DType::f32, {1, -kInfinity, 1}, 2, p);
      CHECK(masked.loss == doctest::Approx(std::log(2.0)));
      CHECK(masked.gradient == std::vector<double>{0.5, 0, -0.5});
    }
    CHECK(row_entropy(device, DType::f32, {1, -kInfinity, 1}, 1).loss == kInfinity);
    CHECK(std::isnan(row_entropy(device, DType::f32, {1, std::nan(""), 1}, 2).loss));
    CHECK(std::isnan(row_entropy(device, DType::f32, {1, kInfinity, 1}, 2).loss));
  }
}

TEST_CASE("class weights and smoothing as worked out by hand") {
  // Two even rows: -log p = log 2 for both classes. Weights 1 and 3: (1 + 3) log 2 / (1 + 3), whatever the smoothing
  // adds.
  const Tensor logits = Tensor::zeros({2, 2}, DType::f64), labels = Tensor::from<int64_t>({0, 1});
  const Tensor weights = Tensor::from<double>({1, 3});
  CHECK(cross_entropy(logits, labels, {}, weights).item() == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  // Smoothing s: row r loses ((1 - s) w[r] + s/2 (1 + 3)) log 2, so the two together 4 log 2 again.
  CHECK(cross_entropy(logits, labels, {.label_smoothing = 0.5}, weights).item() ==
        doctest::Approx(std::log(2.0)).epsilon(1e-15));
  // Only the row of weight 3 counts: (0.5 3 + 0.25 4) log 2 / 3.
  CHECK(cross_entropy(logits, labels, {.label_smoothing = 0.5, .ignore_index = 0}, weights).item() ==
        doctest::Approx(2.5 / 3 * std::log(2.0)).epsilon(1e-15));
}

TEST_CASE("rows that are ignored, and their gradient, are exactly 0") {
  Random random(1);
  const Tensor values = normal({4, 3}, 0, 1, random);
  for (size_t c = 0; c < 3; ++c) values.values<float>()[c] = std::nanf("");  // of row 0, which does not count
  for (const Device device : devices()) {
    INFO(device);
    const Tensor logits = values.to(device).detach();
    logits.set_requires_grad();
    const Tensor labels = Tensor::from<int64_t>({-100, 1, -100, 0}).to(device);
    const Tensor loss = cross_entropy(logits, labels, {.ignore_index = -100});
    loss.backward();
    const Tensor kept = cross_entropy(concat({values.slice(1, 2), values.slice(3, 4)}, 0).to(device),
                                      Tensor::from<int64_t>({1, 0}).to(device));
    CHECK(loss.item() == kept.item());
    const Tensor gradient = logits.grad().to(kCpu);
    for (const size_t row : {size_t{0}, size_t{2}})
      for (size_t c = 0; c < 3; ++c) CHECK(gradient.values<float>()[3 * row + c] == 0);
  }
}

TEST_CASE("a wrong label is bad data") {
  try {
    cross_entropy(Tensor::zeros({1, 2}), Tensor::from<int64_t>({2}));
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code() == exit_code::kData);
  }
}

TEST_CASE("a wrong label gives NaN on CUDA, and nothing is read beyond the weights") {
  if (!test::have_device()) return;
  const Tensor weights = Tensor::from<float>({1, 2, 3}).to(kCuda);
  for (const int64_t label : {int64_t{3}, int64_t{-2}, int64_t{1} << 60})
    for (const int64_t rows : {2, 2000}) {  // one block, and several
      INFO(label, " ", rows);
      const Tensor labels = Tensor::zeros({rows}, DType::i64);
      labels.values<int64_t>()[1] = label;
      const Tensor logits = Tensor::full({rows, 3}, 0.5, DType::f32, kCuda);
      logits.set_requires_grad();
      const Tensor loss = cross_entropy(logits, labels.to(kCuda), {}, weights);
      loss.backward();
      CHECK(std::isnan(loss.item()));
      CHECK(std::isnan(logits.grad().to(kCpu).values<float>()[3]));
    }
}

TEST_CASE("no rows: the loss is 0") {
  for (const Device device : devices()) {
    const Tensor logits = Tensor::zeros({0, 3}, DType::f32, device);
    CHECK(cross_entropy(logits, Tensor::zeros({0}, DType::i64, device)).item() == 0);
    CHECK(soft_cross_entropy(logits, logits).item() == 0);
    CHECK(softmax(logits).shape() == Shape{0, 3});
  }
}

TEST_CASE("losses of bf16 are f32, and the gradient scales with what comes from above") {
  Random random(2);
  const Tensor x = normal({5, 7}, 0, 1, random, DType::bf16), target = normal({5, 7}, 0, 1, random, DType::bf16);
  const Tensor labels = Tensor::from<int64_t>({0, 6, 3, 2, 1});
  CHECK(cross_entropy(x, labels).dtype() == DType::f32);
  CHECK(mse_loss(x, target).dtype() == DType::f32);
  CHECK(l1_loss(x, target).dtype() == DType::f32);
  const auto gradient = [&](double scale) {
    const Tensor logits = cast(x, DType::f32).detach();
    logits.set_requires_grad();
    affine(cross_entropy(logits, labels), scale, 1).backward();
    return logits.grad();
  };
  const Tensor once = gradient(1), four_times = gradient(4);
  for (size_t i = 0; i < 35; ++i) CHECK(4 * once.values<float>()[i] == four_times.values<float>()[i]);
}

TEST_CASE("l1 has derivative 0 where both are equal") {
  for (const Device device : devices()) {
    INFO(device);
    const Tensor x = Tensor::from<float>({1, 2, 3, 4}).to(device).detach();
    x.set_requires_grad();
    l1_loss(x, Tensor::from<float>({1, 3, 3, 0}).to(device)).backward();
    const Tensor grad = x.grad().to(kCpu);
    const auto gradient = grad.values<float>();
    CHECK(gradient[0] == 0.0f);
    CHECK(gradient[1] == -0.25f);
    CHECK(gradient[2] == 0.0f);
    CHECK(gradient[3] == 0.25f);
  }
}

TEST_CASE("softmax of extreme rows") {
  for (const Device device : devices()) {
    INFO(device);
    const Tensor x = Tensor::from<float>(std::vector<float>{1e4f, -1e4f, 0, 1e4f, 1e4f, 1e4f}, {2, 3}).to(device);
    const Tensor y = softmax(x).to(kCpu), log_y = log_softmax(x).to(kCpu);
    const auto p = y.values<float>(), l = log_y.values<float>();
    CHECK(p[0] == 1.0f);
    CHECK(p[1] == 0.0f);
    CHECK(p[3] == doctest::Approx(1.0 / 3).epsilon(1e-6));
    CHECK(l[0] == 0.0f);
    CHECK(l[1] == -2e4f);
    CHECK(l[5] == doctest::Approx(-std::log(3.0)).epsilon(1e-6));
    const Tensor bad = Tensor::from<float>({1, std::numeric_limits<float>::quiet_NaN(), 3}).to(device);
    const Tensor through = softmax(bad).to(kCpu);
    for (const float value : through.values<float>()) CHECK(std::isnan(value));
  }
}

TEST_CASE("losses do not depend on the number of threads") {
  Random random(3);
  const Tensor x = normal({3000, 40}, 0, 2, random), target = normal({3000, 40}, 0, 2, random);
  const Tensor labels = argmax(target);
  const auto all = [&] {
    x.set_requires_grad();
    x.zero_grad();
    Tensor total = add(cross_entropy(x, labels, {.label_smoothing = 0.1}), soft_cross_entropy(x, softmax(target)));
    total = add(total, add(mse_loss(x, target), l1_loss(x, target)));
    total.backward();
    return std::vector<Tensor>{total.detach(), x.grad(), softmax(x.detach())};
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
