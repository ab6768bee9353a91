#include "kernels/cpu/context.h"
#include "tests/optimizer_check.h"

namespace engine::test {
namespace {

double rate_of(const StepScalars& s) { return s.learning_rate.item(); }

// The updates once more, element by element in double, as the papers write them.
void reference(const Sgd& p, double lr, double clip, const Values& grad, Values& param, Values& m) {
  for (size_t i = 0; i < param.size(); ++i) {
    const double g = clip * grad[i] + p.weight_decay * param[i];
    m[i] = p.momentum * m[i] + g;
    const double direction = p.nesterov ? g + p.momentum * m[i] : m[i];
    param[i] = param[i] - lr * direction;
  }
}

void reference(const Adam& p, double lr, int64_t step, double clip, const Values& grad, Values& param, Values& m,
               Values& v) {
  for (size_t i = 0; i < param.size(); ++i) {
    double g = clip * grad[i];
    if (p.decoupled)
      param[i] *= 1 - lr * p.weight_decay;
    else
      g += p.weight_decay * param[i];
    m[i] = p.beta1 * m[i] + (1 - p.beta1) * g;
    v[i] = p.beta2 * v[i] + (1 - p.beta2) * g * g;
    const double m_hat = m[i] / (1 - std::pow(p.beta1, static_cast<double>(step)));
    const double v_hat = v[i] / (1 - std::pow(p.beta2, static_cast<double>(step)));
    param[i] -= lr * m_hat / (std::sqrt(v_hat) + p.eps);
  }
}

}  // namespace

TEST_CASE("one step is within 4 ulp of double in f32, and within 2 in f64") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const double allowed = dtype == DType::f32 ? 4 : 2;
    for (const Sgd& p : kSgd) {
      const State s(dtype);
      const StepScalars now = scalars(0.01, 1, 0.75);
      Values param = values_of(s.param), m = values_of(s.m);
      reference(p, rate_of(now), 0.75, values_of(s.grad), param, m);
      sgd_update(p, now, s.grad, s.param, p.momentum == 0 ? Tensor() : s.m);
      INFO("SGD, momentum ", p.momentum, ", decay ", p.weight_decay, ", ", name_of(dtype));
      CHECK(ulps(s.param, param) <= allowed);
    }
    for (const Adam& p : kAdam) {
      const State s(dtype);
      const StepScalars now = scalars(0.01, 1, 0.75);
      Values param = values_of(s.param), m = values_of(s.m), v = values_of(s.v);
      reference(p, rate_of(now), 1, 0.75, values_of(s.grad), param, m, v);
      adam_update(p, now, s.grad, s.param, s.m, s.v);
      INFO("Adam, decay ", p.weight_decay, ", decoupled ", p.decoupled, ", ", name_of(dtype));
      CHECK(ulps(s.param, param) <= allowed);
      if (p.decoupled) CHECK(ulps(s.m, m) <= allowed);  // else g is a sum that may cancel
      if (p.decoupled) CHECK(ulps(s.v, v) <= allowed);
    }
  }
}

TEST_CASE("1,000 steps stay with double: 1e-5 in f32, 1e-12 in f64") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const double allowed = dtype == DType::f32 ? 1e-5 : 1e-12;
    const auto run = [&](const char* name, const auto& step_both) {
      const State s(dtype);
      Values param = values_of(s.param), m = values_of(s.m), v = values_of(s.v);
      Random random(7);
      for (int64_t step = 1; step <= 1000; ++step) {
        const Tensor grad = uniform(s.grad.shape(), -1, 1.5, random, dtype);
        step_both(s, scalars(1e-3, step, step % 3 == 0 ? 0.5 : 1), step, grad, param, m, v);
      }
      INFO(name, " ", name_of(dtype));
      CHECK(relative(s.param, param) <= allowed);
      CHECK(relative(s.m, m) <= allowed);
    };
    for (const Sgd& p : kSgd) {
      if (p.momentum == 0) continue;
      run("SGD",
          [&](const State& s, const StepScalars& now, int64_t, const Tensor& grad, Values& param, Values& m, Values&) {
            reference(p, rate_of(now), now.clip_factor.item(), values_of(grad), param, m);
            sgd_update(p, now, grad, s.param, s.m);
          });
    }
    for (const Adam& p : kAdam)
      run("Adam", [&](const State& s, const StepScalars& now, int64_t step, const Tensor& grad, Values& param,
                      Values& m, Values& v) {
        reference(p, rate_of(now), step, now.clip_factor.item(), values_of(grad), param, m, v);
        adam_update(p, now, grad, s.param, s.m, s.v);
      });
  }
}

TEST_CASE("three steps on a quadratic, worked out by hand") {
  // f(x) = x^2 / 2 from x = 1, gradient x, learning rate 1/2; every number is exact in f32.
  const auto steps = [](const Sgd& p) {
    const Tensor x = Tensor::from<float>({1}), m = Tensor::zeros({1});
    std::vector<float> path;
    for (int i = 0; i < 3; ++i) {
      sgd_update(p, scalars(0.5), x.clone(), x, m);
      path.push_back(x.values<float>()[0]);
    }
    return path;
  };
  CHECK(steps({}) == std::vector<float>{0.5f, 0.25f, 0.125f});
  // m: 1, 1, 1/2.
  CHECK(steps({.momentum = 0.5}) == std::vector<float>{0.5f, 0.0f, -0.25f});
  // m: 1, 3/4, 5/16; g + m / 2: 3/2, 5/8, 3/32.
  CHECK(steps({.momentum = 0.5, .nesterov = true}) == std::vector<float>{0.25f, -0.0625f, -0.109375f});
  // The decay acts as a second gradient x: 1 - (1 + 1) / 2 = 0.
  CHECK(steps({.weight_decay = 1.0}) == std::vector<float>{0.0f, 0.0f, 0.0f});
}

TEST_CASE("Adam's first step is the learning rate, whatever the size of the gradient") {
  const Tensor x = Tensor::from<double>({1, 1, 1}), grad = Tensor::from<double>({1e-3, -5, 1e6});
  const Tensor m = Tensor::zeros_like(x), v = Tensor::zeros_like(x);
  adam_update({.eps = 0}, scalars(0.25), grad, x, m, v);
  const Values expected = {0.75, 1.25, 0.75};
  for (size_t i = 0; i < 3; ++i) CHECK(x.values<double>()[i] == doctest::Approx(expected[i]).epsilon(1e-14));
}

TEST_CASE("decoupled decay leaves the moments alone") {
  const State with(DType::f32), without(DType::f32);
  adam_update({.weight_decay = 0.5}, scalars(0.1), with.grad, with.param, with.m, with.v);
  adam_update({}, scalars(0.1), without.grad, without.param, without.m, without.v);
  CHECK(bytes_of(with.m) == bytes_of(without.m));
  CHECK(bytes_of(with.v) == bytes_of(without.v));
  CHECK(bytes_of(with.param) != bytes_of(without.param));
}

TEST_CASE("skip leaves every byte as it was, and zeroes the gradient if told to") {
  for_each_rule([](const auto& p) {
    for (const DType grad : {DType::f32, DType::bf16}) check_skip(p, grad, kCpu);
  });
}

TEST_CASE("mixed precision in one pass gives the bits of casting, updating and filling apart") {
  for_each_rule([](const auto& p) {
    for (const int64_t count : {1, 13, 4099, 60001}) check_mixed_precision(p, count, count == 13, kCpu);
  });
}

TEST_CASE("zero_grad: the same update, and no gradient is left, in f32 and f64") {
  for (const DType dtype : {DType::f32, DType::f64})
    for_each_rule([dtype](auto p) {
      const State kept(dtype), zeroed(dtype);
      update(p, scalars(0.1), kept);
      p.zero_grad = true;
      update(p, scalars(0.1), zeroed);
      CHECK(bytes_of(zeroed.param) == bytes_of(kept.param));
      CHECK(bytes_of(zeroed.m) == bytes_of(kept.m));
      CHECK(is_zero(zeroed.grad));
    });
}

TEST_CASE("the sum of squares") {
  Random random(3);
  for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{17}, int64_t{100003}}) {
    const Tensor x = normal({count}, 0, 3, random, DType::f64), single = cast(x, DType::f32);
    double expected = 0, expected_single = 0;
    for (const double value : x.values<double>()) expected += value * value;
    for (const float value : single.values<float>())
      expected_single += static_cast<double>(value) * static_cast<double>(value);
    const Tensor sum = Tensor::empty({1}, DType::f64), sum_single = Tensor::empty({1});
    sum_of_squares(x, sum);
    sum_of_squares(single, sum_single);
    CHECK(sum.item() == doctest::Approx(expected).epsilon(1e-13));
    CHECK(sum_single.item() == doctest::Approx(expected_single).epsilon(1e-7));
    const Tensor half = cast(x, DType::bf16), sum_half = Tensor::empty({1});
    sum_of_squares(half, sum_half);
    sum_of_squares(cast(half, DType::f32), sum_single);
    CHECK(bytes_of(sum_half) == bytes_of(sum_single));
  }
}

TEST_CASE("clipping and the flag") {
  const auto clip = [](float sum, double max_norm) {
    const StepScalars s = scalars(0.1, 1, 0.123);
    clip_and_flag(Tensor::from<float>({sum}), max_norm, s);
    return std::pair(s.clip_factor.item(), s.skip.item());
  };
  CHECK(clip(25, 10) == std::pair(1.0, 0.0));
  CHECK(clip(25, 0) == std::pair(1.0, 0.0));
  CHECK(clip(0, 1) == std::pair(1.0, 0.0));
  CHECK(clip(25, 1).first == doctest::Approx(0.2).epsilon(1e-6));
  CHECK(clip(25, 1).second == 0);
  for (const double bad : {HUGE_VAL, std::nan("")})
    for (const double max_norm : {0.0, 1.0}) CHECK(clip(static_cast<float>(bad), max_norm) == std::pair(0.0, 1.0));
}

TEST_CASE("one bad gradient among many raises the flag") {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN(), 3e38f})
    for (const size_t at : {size_t{0}, size_t{77777}, size_t{99999}}) {
      const Tensor x = Tensor::full({100000}, 0.5), sum = Tensor::empty({1});
      x.values<float>()[at] = bad;
      sum_of_squares(x, sum);
      const StepScalars s = StepScalars::make(kCpu);
      clip_and_flag(sum, 1, s);
      CHECK(s.skip.item() == 1);
    }
}

TEST_CASE("a clipped update has the norm it was clipped to") {
  const State s(DType::f64);
  const StepScalars now = scalars(1);
  const Tensor sum = Tensor::empty({1}, DType::f64), before = s.param.clone();
  sum_of_squares(s.grad, sum);
  clip_and_flag(sum, 0.5, now);
  sgd_update({}, now, s.grad, s.param, {});
  sum_of_squares(sub(before, s.param), sum);
  CHECK(std::sqrt(sum.item()) == doctest::Approx(0.5).epsilon(1e-6));
}

TEST_CASE("updates do not depend on the number of threads") {
  Random random(9);
  const Tensor grad = normal({200003}, 0, 1, random), start = normal({200003}, 0, 1, random);
  const auto run = [&] {
    const Tensor param = start.clone(), m = Tensor::zeros_like(param), v = Tensor::zeros_like(param);
    const StepScalars now = scalars(0.01);
    const Tensor sum = Tensor::empty({1});
    sum_of_squares(grad, sum);
    clip_and_flag(sum, 1, now);
    adam_update({.weight_decay = 0.1}, now, grad, param, m, v);
    sgd_update({.momentum = 0.9}, now, grad, param, m);
    return bytes_of(param);
  };
  const int threads = cpu_threads();
  const auto as_is = run();
  set_cpu_threads(threads == 1 ? 3 : 1);
  CHECK(run() == as_is);
  set_cpu_threads(threads);
}

TEST_CASE("optimizer operations refuse what does not fit") {
  const Tensor x = Tensor::zeros({4}), y = Tensor::zeros({5}), b = Tensor::zeros({4}, DType::bf16);
  const StepScalars s = StepScalars::make(kCpu);
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  CHECK(message([&] { adam_update({}, s, y, x, x, x); }) ==
        "adam_update: expected the gradient (4) f32 like the parameters, got (5) f32");
  CHECK(message([&] { adam_update({}, s, x, x, x, {}); }) == "adam_update: the second moment is missing");
  CHECK(message([&] {
          adam_update({}, s, b, x.reshape({2, 2}), x, x);
        }) == "adam_update: expected the gradient (2,2) f32 like the parameters, got (4) bf16");
  CHECK(message([&] { adam_update({}, s, x, x, x, x, x); }) ==
        "adam_update: expected a bf16 copy of f32 parameters, got (4) f32 for (4) f32");
  const Tensor d = Tensor::zeros({4}, DType::f64);
  CHECK(message([&] { sgd_update({}, s, b, d, {}); }) ==
        "sgd_update: expected the gradient (4) f64 like the parameters, got (4) bf16");
  CHECK(message([&] { sgd_update({}, s, d, d, {}, b); }) ==
        "sgd_update: expected a bf16 copy of f32 parameters, got (4) bf16 for (4) f64");
  CHECK(message([&] { sum_of_squares(b, b.slice(0, 1)); }) == "sum_of_squares: expected the result to be one f32");
  CHECK(message([&] { sgd_update({}, s, b, b, {}); }) == "sgd_update: expected f32 or f64, got (4) bf16");
  CHECK(message([&] { sgd_update({.momentum = 0.9}, s, x, x, {}); }) == "sgd_update: the momentum is missing");
  CHECK(message([&] { sgd_update({.nesterov = true}, s, x, x, {}); }) ==
        "sgd_update: Nesterov's method needs a momentum above 0");
  CHECK(message([&] { sgd_update({}, {}, x, x, {}); }) == "sgd_update: expected learning_rate to be one f32");
  CHECK(message([&] { clip_and_flag(x, 1, s); }) == "clip_and_flag: expected the sum of squares to be one f32");
}

}  // namespace engine::test
