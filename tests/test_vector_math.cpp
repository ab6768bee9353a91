// The f32 elementary functions as the ops run them: against the standard library in double, on a stride through all bit
// patterns and on every bf16 value.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "engine/ops.h"

namespace engine {
namespace {

constexpr double kSmallest = std::numeric_limits<float>::min();

struct Function {
  std::string name;
  Tensor (*run)(const Tensor&);
  double (*exact)(double);
  double ulps;   // allowed
  double small;  // results below this may be 0
};

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

// silu and gelu multiply numbers up to about 100 by one that may be too small for a float.
const Function kFunctions[] = {
    {"exp", exp, std::exp, 2, kSmallest},
    {"tanh", tanh, std::tanh, 2, kSmallest},
    {"sigmoid", sigmoid, sigmoid_of, 3, kSmallest},
    {"silu", silu, [](double x) { return x * sigmoid_of(x); }, 4, 128 * kSmallest},
    {"gelu", gelu, [](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }, 6, 128 * kSmallest}};

// The distance in units of the last place of a float of the size of `expected`. Results beyond the largest float have
// to be infinite.
double ulps(const Function& f, float got, double expected) {
  const double size = std::abs(expected);
  if (size < f.small) return std::abs(got) <= f.small ? 0.0 : HUGE_VAL;
  if (static_cast<float>(size) == HUGE_VALF) return std::isinf(got) ? 0.0 : HUGE_VAL;
  return std::abs(static_cast<double>(got) - expected) / std::ldexp(1.0, std::ilogb(size) - 23);
}

}  // namespace

TEST_CASE("f32 functions are within their ulps on a stride through all floats") {
  constexpr uint32_t kStride = 4093;  // a prime: all exponents, ever other mantissas
  constexpr int64_t kCount = (uint64_t{1} << 32) / kStride;
  const Tensor x = Tensor::empty({kCount});
  for (int64_t i = 0; i < kCount; ++i)
    x.values<float>()[static_cast<size_t>(i)] = std::bit_cast<float>(static_cast<uint32_t>(i) * kStride);
  for (const Function& f : kFunctions) {
    const Tensor y = f.run(x);
    double worst = 0, worst_at = 0;
    int64_t compared = 0, nans = 0;
    for (size_t i = 0; i < static_cast<size_t>(kCount); ++i) {
      const float in = x.values<float>()[i], out = y.values<float>()[i];
      const double expected = f.exact(static_cast<double>(in));
      if (std::isnan(expected)) {
        nans += std::isnan(out);
        continue;
      }
      ++compared;
      const double error = ulps(f, out, expected);
      if (!(error <= worst)) worst = error, worst_at = static_cast<double>(in);
    }
    INFO(f.name, ": worst at ", worst_at);
    CHECK(worst <= f.ulps);
    CHECK(compared + nans == kCount);
    MESSAGE(f.name, ": at most ", worst, " ulp over ", compared, " values");
  }
}

TEST_CASE("f32 functions at the special values") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Tensor::from<float>({0.0f, -0.0f, inf, -inf, nan, 88.72283f, 88.72284f, -87.33654f});
  const Tensor powers = exp(x), tangents = tanh(x), logistic = sigmoid(x), gelus = gelu(x);
  const auto e = powers.values<float>(), t = tangents.values<float>(), s = logistic.values<float>();
  CHECK(e[0] == 1.0f);
  CHECK(e[1] == 1.0f);
  CHECK(e[2] == inf);
  CHECK(e[3] == 0.0f);
  CHECK(std::isnan(e[4]));
  CHECK(std::isfinite(e[5]));
  CHECK(e[6] == inf);
  CHECK(e[7] >= std::numeric_limits<float>::min());
  CHECK(t[0] == 0.0f);
  CHECK(std::signbit(t[1]));
  CHECK(t[2] == 1.0f);
  CHECK(t[3] == -1.0f);
  CHECK(std::isnan(t[4]));
  CHECK(s[0] == 0.5f);
  CHECK(s[2] == 1.0f);
  CHECK(s[3] == 0.0f);
  CHECK(std::isnan(s[4]));
  CHECK(gelus.values<float>()[2] == inf);
  CHECK(std::isnan(gelus.values<float>()[4]));
}

TEST_CASE("every bf16 value through every f32 function is within one bf16 ulp") {
  const Tensor x = Tensor::empty({65536}, DType::bf16);
  for (size_t i = 0; i < 65536; ++i) x.values<bf16>()[i].bits = static_cast<uint16_t>(i);
  for (const Function& f : kFunctions) {
    const Tensor y = f.run(x);
    double worst = 0;
    for (size_t i = 0; i < 65536; ++i) {
      const auto out = static_cast<float>(y.values<bf16>()[i]);
      const double expected = f.exact(static_cast<double>(x.values<bf16>()[i]));
      if (std::isnan(expected)) {
        CHECK(std::isnan(out));
        continue;
      }
      if (std::isinf(out) && std::abs(expected) > 3.38e38) continue;  // beyond the largest bf16
      worst = std::max(worst, ulps(f, out, expected) / 65536);
    }
    INFO(f.name);
    CHECK(worst <= 1);
  }
}

}  // namespace engine
