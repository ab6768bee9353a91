// exp, tanh, sigmoid and the normal distribution for loops over f32: straight-line code without calls, so that the
// compiler turns a loop into vector instructions (the standard library's functions are calls there). Within 5 ulp of
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

// e^(x - less) = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r = 1 + r + r^2 P(r). `less`: tiny, what
// rounding has added to x.
struct Power {
  float e;  // e^r
  int32_t n;
};
constexpr float power_of_two(int32_t n) { return std::bit_cast<float>((n + 127) << 23); }
inline Power power_of(float x, float less) {
  constexpr float kLog2e = std::numbers::log2e_v<float>;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // n kLn2High is exact
  constexpr float kRounder = 0x1.8p23f;  // adding it leaves a whole number in the lowest bits
  constexpr float kP[] = {1.39262508e-3f, 8.36323288e-3f, 4.16665542e-2f, 0.166665766f, 0.5f};
  const float shifted = x * kLog2e + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * kLn2High) - n * kLn2Low - less;
  return {polynomial(kP, r) * (r * r) + r + 1.0f, std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRounder)};
}

inline float exp(float x) {
  x = x > 89.0f ? 89.0f : x;      // infinity
  x = x < -104.0f ? -104.0f : x;  // 0
  const auto [e, n] = power_of(x, 0.0f);
  // 2^n does not fit into a float at both ends of the range, the product of its halves does.
  const int32_t half = n >> 1;
  return e * power_of_two(half) * power_of_two(n - half);
}

// e^(x - less) for x <= 0; 0 where it is below the smallest normal number.
inline float decay(float x, float less = 0.0f) {
  const auto [e, n] = power_of(x, less);
  return x < -87.33f ? 0.0f : e * power_of_two(n);
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

// With a = |x|, by the tail 1 - Phi(a) = e^(-a^2/2) G(w) / (a + c), where w = (a - c) / (a + c) (the transformation of
// Shepherd and Laframboise, Math. Comp. 36, 1981), so that small values keep their relative accuracy; fitted up to
// a = 13.2, behind which the tail is 0.
inline Normal<float> normal(float x) {
  constexpr float kG[] = {-9.34156997e-5f, -4.42791177e-4f, -2.34286475e-4f, 2.51402752e-3f, 3.18726501e-3f,
                          -1.64496899e-2f, -1.65629424e-2f, 0.18233481f,     -0.474354237f,  0.718986034f};
  constexpr float kC = 2.75f;
  constexpr float kDensityAt0 = static_cast<float>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  const float a = std::abs(x) > 14.0f ? 14.0f : std::abs(x);
  const float inverse = 1.0f / (a + kC);
  const float half = 0.5f * a, square = half * a;
  const float e = decay(-square, std::fma(half, a, -square));
  const float tail = e * polynomial(kG, (a - kC) * inverse) * inverse;
  return {x > 0.0f ? 1.0f - tail : tail, e * kDensityAt0};
}

inline double exp(double x) { return std::exp(x); }
inline double decay(double x) { return std::exp(x); }
inline double tanh(double x) { return std::tanh(x); }
inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline Normal<double> normal(double x) {
  return {0.5 * std::erfc(x * (-1 / std::numbers::sqrt2)),
          std::exp(-0.5 * x * x) * (std::numbers::inv_sqrtpi / std::numbers::sqrt2)};
}

}  // namespace engine::vector_math
