// Optimizers on CUDA against the f64 of the CPU.
#include "tests/cuda_device.h"
#include "tests/optimizer_check.h"

namespace engine::test {
namespace {

// A state in the middle of training, with values that f32 holds, or bf16 for the gradient.
State trained(int64_t count, DType grad_dtype) {
  Random random(2);
  State s(DType::f32, count);
  s.grad = cast(cast(s.grad, grad_dtype), DType::f32);
  s.m = normal({count}, 0, 0.1, random);
  s.v = uniform({count}, 0.5, 2, random);
  return s;
}

Tensor sum_on_cuda(const Tensor& x) {
  const Tensor sum = Tensor::zeros({1}).to(kCuda);
  sum_of_squares(x, sum);
  return sum.to(kCpu);
}

}  // namespace

TEST_CASE("CUDA: one step is within 4 ulp of double, whatever its number") {
  if (!have_device()) return;
  for_each_rule([](const auto& p) {
    for (const DType grad : {DType::f32, DType::bf16})
      for (const int64_t step : {1, 2, 10, 1000, 100000}) {
        const State start = trained(1003, grad), exact = start.placed(DType::f64, DType::f64, kCpu);
        const State got = start.placed(DType::f32, grad, kCuda);
        update(p, scalars(0.01, step, 0.75), exact);
        update(p, scalars(0.01, step, 0.75, kCuda), got);
        INFO("step ", step, ", gradient ", name_of(grad));
        CHECK(ulps(got.param, values_of(exact.param)) <= 4);
        CHECK(relative(got.m, values_of(exact.m)) <= 4 * 0x1p-24);  // its elements may cancel
        CHECK(ulps(got.v, values_of(exact.v)) <= 4);
      }
  });
}

TEST_CASE("CUDA: updates at every size, twice and at an offset, give the same bytes") {
  if (!have_device()) return;
  for_each_rule([](const auto& p) {
    for (const DType grad : {DType::f32, DType::bf16})
      for (const int64_t count : {0, 1, 3, 4, 1023, 1025, 9001}) {
        const State start = trained(count, grad), exact = start.placed(DType::f64, DType::f64, kCpu);
        const auto run = [&](bool offset) {
          const State s = start.placed(DType::f32, grad, kCuda, offset);
          for (int64_t step = 1; step <= 3; ++step) update(p, scalars(0.01, step, 0.75, kCuda), s);
          return s;
        };
        const State first = run(false), second = run(false), offset = run(true);
        for (int64_t step = 1; step <= 3; ++step) update(p, scalars(0.01, step, 0.75), exact);
        INFO(count, " parameters");
        CHECK(bytes_of(first.param) == bytes_of(second.param));
        CHECK(bytes_of(first.param) == bytes_of(offset.param));
        CHECK(bytes_of(first.m) == bytes_of(offset.m));
        CHECK(bytes_of(first.v) == bytes_of(offset.v));
        if (count > 0) CHECK(ulps(first.param, values_of(exact.param)) <= 3 * 4);
      }
  });
}

TEST_CASE("CUDA: mixed precision in one pass gives the bits of casting, updating and filling apart") {
  if (!have_device()) return;
  for_each_rule([](const auto& p) {
    for (const int64_t count : {1, 13, 1024, 4099})
      for (const bool offset : {false, true}) check_mixed_precision(p, count, offset, kCuda);
  });
}

TEST_CASE("CUDA: skip leaves every byte as it was, and zeroes the gradient if told to") {
  if (!have_device()) return;
  for_each_rule([](const auto& p) {
    for (const DType grad : {DType::f32, DType::bf16}) check_skip(p, grad, kCuda);
  });
}

TEST_CASE("CUDA: the sum of squares") {
  if (!have_device()) return;
  Random random(3);
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64_t count : {0, 1, 17, 2049, 100003, 2200001}) {
      const Tensor x = normal({count + 1}, 0, 3, random, dtype), whole = x.slice(0, count),
                   rest = x.slice(1, count + 1);
      const Tensor there = x.to(kCuda), exact = Tensor::zeros({1}, DType::f64);
      sum_of_squares(cast(whole, DType::f64), exact);
      INFO(count, " ", name_of(dtype));
      const Tensor sum = sum_on_cuda(there.slice(0, count));
      CHECK(std::abs(sum.item() - exact.item()) <= exact.item() * 1.001 * 0x1p-24);  // one rounding to f32
      CHECK(bytes_of(sum) == bytes_of(sum_on_cuda(there.slice(0, count))));
      CHECK(bytes_of(sum_on_cuda(there.slice(1, count + 1))) == bytes_of(sum_on_cuda(rest.clone().to(kCuda))));
    }
}

TEST_CASE("CUDA: the flag and the clip factor are the CPU's, and see a value that is not finite anywhere") {
  if (!have_device()) return;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double sum : {0.0, 1e-30, 0.25, 4.0, 1e30, 3e38, kInfinity, std::nan("")})
    for (const double max_norm : {-1.0, 0.0, 1e-3, 1.0, 7.5}) {
      const StepScalars here = scalars(0), there = scalars(0, 1, 1, kCuda);
      clip_and_flag(Tensor::full({1}, sum), max_norm, here);
      clip_and_flag(Tensor::full({1}, sum).to(kCuda), max_norm, there);
      INFO("sum ", sum, ", limit ", max_norm);
      CHECK(bytes_of(there.clip_factor) == bytes_of(here.clip_factor));
      CHECK(bytes_of(there.skip) == bytes_of(here.skip));
    }
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 3e38f})
    for (const size_t at : {0, 77777, 99999, 100002}) {
      const Tensor x = Tensor::full({100003}, 0.5);
      x.values<float>()[at] = bad;
      CHECK(!std::isfinite(sum_on_cuda(x.to(kCuda)).item()));
    }
}

}  // namespace engine::test
