// exp, tanh, sigmoid and the normal distribution for loops over f32: straight-line code without calls, so that the
// compiler turns a loop into vector instructions (the standard library's functions are calls there). Within 4 ulp of
// the exact value, tests/test_vector_math.cpp; a result below the smallest normal number may be 0. NaN gives NaN. The
// overloads for double are the standard library's.
//
// The polynomials are Chebyshev fits on the intervals named, made in 40-digit arithmetic.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace engine::vector_math {

// c[0] x^(n-1) + ... + c[n-1].
template <int kCount>
constexpr float polynomial(const float (&c)[kCount], float x) {
  float sum = c[0];
  for (int i = 1; i < kCount; ++i) sum = sum * x + c[i];
  return sum;
}

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r = 1 + r + r^2 P(r).
inline float exp(float x) {
  constexpr float kLog2e = std::numbers::log2e_v<float>;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // n kLn2High is exact
  constexpr float kRounder = 0x1.8p23f;  // adding it leaves a whole number in the lowest bits
  constexpr float kP[] = {1.39262508e-3f, 8.36323288e-3f, 4.16665542e-2f, 0.166665766f, 0.5f};
  x = x > 89.0f ? 89.0f : x;      // infinity
  x = x < -104.0f ? -104.0f : x;  // 0
  const float shifted = x * kLog2e + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  const float e = polynomial(kP, r) * (r * r) + r + 1.0f;
  // 2^n does not fit into a float at both ends of the range, the product of its halves does.
  const int32_t power = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRounder);
  const int32_t half = power >> 1;
  const auto power_of_two = [](int32_t k) { return std::bit_cast<float>((k + 127) << 23); };
  return e * power_of_two(half) * power_of_two(power - half);
}

// |x| < 0.625: x + x^3 P(x^2); beyond, by e^2|x|.
inline float tanh(float x) {
  constexpr float kP[] = {-6.04516510e-3f, 2.09613291e-2f, -5.38432632e-2f, 0.133327188f, -0.333333284f};
  const float size = std::abs(x), z = x * x;
  const float near = size + size * z * polynomial(kP, z);
  const float far = 1.0f - 2.0f / (exp(2.0f * size) + 1.0f);
  return std::copysign(size < 0.625f ? near : far, x);
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }

// The standard normal distribution: its distribution function Phi(x) and its density phi(x).
template <class T>
struct Normal {
  T cdf, density;
};

// |x| < 0.9: Phi(x) = 1/2 + x P(x^2). Beyond, with a = |x|, by the tail 1 - Phi(a) = e^(-a^2/2) G(w) / (a + 4), where
// w = (a - 4) / (a + 4) (the transformation of Shepherd and Laframboise, Math. Comp. 36, 1981), so that small values
// keep their relative accuracy; fitted up to a = 14, after which the tail is 0.
inline Normal<float> normal(float x) {
  constexpr float kP[] = {-7.66053817e-6f, 1.13502296e-4f,  -1.18634399e-3f,
                          9.97332848e-3f,  -6.64903606e-2f, 0.39894228f};
  constexpr float kG[] = {2.01150741e-4f, 1.47212735e-3f, -3.52117423e-3f, -7.50147675e-3f, 6.04043399e-2f,
                          -0.186525462f,  0.387136946f,   -0.607896549f,   0.755285135f};
  constexpr float kDensityAt0 = static_cast<float>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  const float a = std::abs(x) > 20.0f ? 20.0f : std::abs(x);
  const float square = a * a;
  const float lost = std::fma(a, a, -square);  // what rounding took from the square
  const float rounded = exp(-0.5f * square);
  const float e = std::fma(rounded, -0.5f * lost, rounded);
  const float inverse = 1.0f / (a + 4.0f);
  const float tail = e * polynomial(kG, (a - 4.0f) * inverse) * inverse;
  const float far = x > 0.0f ? 1.0f - tail : tail;
  return {a < 0.9f ? 0.5f + x * polynomial(kP, square) : far, e * kDensityAt0};
}

inline double exp(double x) { return std::exp(x); }
inline double tanh(double x) { return std::tanh(x); }
inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline Normal<double> normal(double x) {
  return {0.5 * std::erfc(x * (-1 / std::numbers::sqrt2)),
          std::exp(-0.5 * x * x) * (std::numbers::inv_sqrtpi / std::numbers::sqrt2)};
}

}  // namespace engine::vector_math
