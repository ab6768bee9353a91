#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/cpu/context.h"
#include "kernels/philox.h"

namespace engine {
namespace {

void begin(uint64_t seed, int64_t step) {
  StepRandom::current().set_seed(seed);
  StepRandom::current().begin_step(Tensor::from<int64_t>({step}));
}

// Which of `count` elements stay: 1 or 0.
std::vector<int> mask(int64_t count, double probability) {
  std::vector<int> kept;
  const Tensor y = dropout(Tensor::full({count}, 1.0), probability);
  for (const float value : y.values<float>()) kept.push_back(value != 0);
  return kept;
}

// How far `hits` of `trials` is from chance, in deviations.
double z_score(double hits, double trials, double chance) {
  return (hits - trials * chance) / std::sqrt(trials * chance * (1 - chance));
}

double agreement(const std::vector<int>& a, const std::vector<int>& b) {
  double same = 0;
  for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i];
  return z_score(same, static_cast<double>(a.size()), 0.5);
}

}  // namespace

TEST_CASE("Philox gives the published words") {
  using Words = std::array<uint32_t, 4>;
  CHECK(philox(0, {0, 0, 0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t ones = 0xffffffff;
  CHECK(philox(0xffffffffffffffff, {ones, ones, ones, ones}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  // The digits of pi.
  CHECK(philox(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("dropout drops at its rate and keeps the mean") {
  constexpr int64_t kCount = 1000000;
  for (const double p : {0.05, 0.1, 0.25, 0.5, 0.9}) {
    INFO("probability ", p);
    begin(17, 3);
    const Tensor y = dropout(Tensor::full({kCount}, 1.0), p);
    double zeros = 0;
    for (const float value : y.values<float>()) {
      zeros += value == 0;
      REQUIRE((value == 0 || std::abs(value - 1 / (1 - p)) < 1e-6));
    }
    CHECK(std::abs(z_score(zeros, kCount, p)) <= 5);
  }
}

TEST_CASE("the drop rates of 100 seeds are spread as chance has it") {
  std::vector<double> levels;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    begin(seed, 0);
    const std::vector<int> kept = mask(20000, 0.3);
    const double stayed = static_cast<double>(std::count(kept.begin(), kept.end(), 1));
    levels.push_back(0.5 * std::erfc(-z_score(stayed, 20000, 0.7) / std::sqrt(2.0)));
  }
  std::sort(levels.begin(), levels.end());
  double distance = 0;  // Kolmogorov-Smirnov, from the uniform distribution
  for (size_t i = 0; i < levels.size(); ++i)
    distance =
        std::max({distance, levels[i] - static_cast<double>(i) / 100, static_cast<double>(i + 1) / 100 - levels[i]});
  CHECK(distance < 0.2225);  // p = 1e-4 for 100 draws: sqrt(-ln(p / 2) / 200)
}

TEST_CASE("neighbours in a mask are independent") {
  begin(5, 11);
  const std::vector<int> kept = mask(400001, 0.5);
  for (const size_t lag : {size_t{1}, size_t{2}, size_t{4}, size_t{256}}) {
    INFO("lag ", lag);
    double cells[4] = {};
    for (size_t i = 0; i + lag < kept.size(); ++i) ++cells[2 * kept[i] + kept[i + lag]];
    double chi_squared = 0;
    const double expected = static_cast<double>(kept.size() - lag) / 4;
    for (const double cell : cells) chi_squared += (cell - expected) * (cell - expected) / expected;
    CHECK(chi_squared < 30.7);  // p = 1e-6 at 3 degrees of freedom
  }
}

TEST_CASE("masks of other steps, ops, seeds and of Random have nothing in common") {
  constexpr int64_t kCount = 100000;
  begin(1, 1);
  const std::vector<int> first = mask(kCount, 0.5), second_op = mask(kCount, 0.5);
  begin(1, 1);
  CHECK(mask(kCount, 0.5) == first);
  begin(1, 2);
  const std::vector<int> next_step = mask(kCount, 0.5);
  begin(1, int64_t{1} << 32 | 1);
  const std::vector<int> far_step = mask(kCount, 0.5);
  begin(2, 1);
  const std::vector<int> other_seed = mask(kCount, 0.5);
  for (const auto* other : {&second_op, &next_step, &far_step, &other_seed})
    CHECK(std::abs(agreement(first, *other)) <= 5);
  begin(9, 0);
  const std::vector<int> at_zero = mask(kCount, 0.5);
  Random random(9);
  std::vector<int> drawn;
  for (int64_t i = 0; i < kCount; ++i) drawn.push_back(uniform_float(random.bits()) >= 0.5f);
  CHECK(std::abs(agreement(at_zero, drawn)) <= 5);
}

TEST_CASE("backward uses the mask of forward exactly") {
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
    begin(3, 8);
    const Tensor x = Tensor::full({100003}, 1.0, dtype);
    x.set_requires_grad();
    const Tensor y = dropout(x, 0.3), another = dropout(x.detach(), 0.3);
    y.backward(Tensor::full(y.shape(), 1.0, dtype));
    CHECK(std::memcmp(x.grad().memory(), y.memory(), y.bytes()) == 0);
    CHECK(std::memcmp(another.memory(), y.memory(), y.bytes()) != 0);
  }
}

TEST_CASE("the step is read when the kernel runs") {
  const Tensor step = Tensor::from<int64_t>({1});
  StepRandom::current().set_seed(4);
  StepRandom::current().begin_step(step);
  const std::vector<int> at_one = mask(1000, 0.5);
  step.values<int64_t>()[0] = 2;
  StepRandom::current().begin_step(step);
  CHECK(mask(1000, 0.5) != at_one);
}

TEST_CASE("masks do not depend on the number of threads") {
  const int threads = cpu_threads();
  begin(6, 6);
  const std::vector<int> as_is = mask(200001, 0.5);
  set_cpu_threads(threads == 1 ? 3 : 1);
  begin(6, 6);
  CHECK(mask(200001, 0.5) == as_is);
  set_cpu_threads(threads);
}

TEST_CASE("dropped elements are 0 even where the input is not finite, and probability 0 does nothing") {
  begin(1, 1);
  const Tensor bad = Tensor::full({64}, HUGE_VAL), y = dropout(bad, 0.5);
  for (const float value : y.values<float>()) CHECK((value == 0 || std::isinf(value)));
  CHECK(dropout(bad, 0).is(bad));
}

}  // namespace engine
