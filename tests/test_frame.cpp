// What affine maps of frames show where the answer is known, on the CPU and on CUDA where there is a device.
#include <cmath>
#include <limits>

#include "engine/ops.h"
#include "engine/random.h"
#include "tests/cuda_device.h"

namespace engine::test {
namespace {

constexpr int64_t kHeight = 6, kWidth = 10, kChannels = 3;

Tensor random_frames(int64_t count) {
  Random random(3);
  const Tensor x = Tensor::empty({count, kHeight, kWidth, kChannels}, DType::u8);
  for (uint8_t& byte : x.values<uint8_t>()) byte = static_cast<uint8_t>(random.below(256));
  return x;
}

// The frames seen through `matrices`, 8 channels, as they are: neither scaled nor shifted.
Tensor warped(const Tensor& x, const std::vector<float>& matrices, int64_t rows, int64_t columns, DType dtype,
              Device device) {
  const Tensor matrix = Tensor::from(matrices, {x.size(0), 2, 3});
  const Tensor y = warp_frames(x.to(device), matrix.to(device), {rows, columns, 8}, {0, 0, 0}, {1, 1, 1}, dtype);
  return cast(y.to(kCpu), DType::f32);
}

// Compares y (N, P, Q, 8) with expected(n, p, q, c).
template <class F>
void check_pixels(const Tensor& y, const F& expected) {
  int64_t wrong = 0;
  for (int64_t i = 0; i < y.elements(); ++i) {
    const int64_t c = i % 8, q = i / 8 % y.size(2), p = i / 8 / y.size(2) % y.size(1);
    const int64_t n = i / 8 / y.size(2) / y.size(1);
    wrong += y.values<float>()[static_cast<size_t>(i)] != (c < kChannels ? expected(n, p, q, c) : 0.0f);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("crop, mirror image, transposition and halving show the pixels they should, exactly") {
  const Tensor x = random_frames(4);
  const auto pixel = [&](int64_t n, int64_t h, int64_t w, int64_t c) {
    return static_cast<float>(x.values<uint8_t>()[static_cast<size_t>(((n * kHeight + h) * kWidth + w) * 3 + c)]);
  };
  const std::vector<float> matrices = {1,  0, 3,      0, 1, 1,   // from column 3 and row 1 on
                                       -1, 0, kWidth, 0, 1, 0,   // left and right swapped
                                       0,  1, 0,      1, 0, 0,   // rows and columns swapped
                                       2,  0, 0,      0, 2, 0};  // every pixel the mean of four
  for (const Device device : devices())
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      if (device != kCpu && dtype == DType::f64) continue;
      INFO(name_of(dtype), " on ", device);
      check_pixels(warped(x, matrices, 3, 5, dtype, device), [&](int64_t n, int64_t p, int64_t q, int64_t c) {
        if (n == 0) return pixel(0, p + 1, q + 3, c);
        if (n == 1) return pixel(1, p, kWidth - 1 - q, c);
        if (n == 2) return pixel(2, q, p, c);
        const float mean = (pixel(3, 2 * p, 2 * q, c) + pixel(3, 2 * p, 2 * q + 1, c) + pixel(3, 2 * p + 1, 2 * q, c) +
                            pixel(3, 2 * p + 1, 2 * q + 1, c)) /
                           4;
        return dtype == DType::bf16 ? static_cast<float>(bf16(mean)) : mean;
      });
    }
}

TEST_CASE("places far outside, infinite or without a number show the border") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const Tensor x = random_frames(5);
  const std::vector<float> matrices = {0, 0,   1e30f, 0,   0,         -1e30f,  // the upper right corner
                                       0, 0,   nan,   nan, 0,         0,       // the upper left one
                                       0, 0,   -1e9f, 0,   0,         1e9f,    // the lower left one
                                       0, 0,   3e38f, 0,   3e38f,     0,       // the lower right one
                                       0, nan, 0,     0,   -infinity, 0};      // the upper left one
  const int64_t rows[] = {0, 0, kHeight - 1, kHeight - 1, 0}, columns[] = {kWidth - 1, 0, 0, kWidth - 1, 0};
  for (const Device device : devices()) {
    INFO(device);
    check_pixels(warped(x, matrices, 4, 3, DType::f32, device), [&](int64_t n, int64_t, int64_t, int64_t c) {
      const int64_t at = ((n * kHeight + rows[n]) * kWidth + columns[n]) * kChannels + c;
      return static_cast<float>(x.values<uint8_t>()[static_cast<size_t>(at)]);
    });
  }
}

TEST_CASE("more frames than a CUDA grid is high") {
  const int64_t count = 65537;
  Random random(8);
  const Tensor x = Tensor::empty({count, 1, 1, kChannels}, DType::u8);
  for (uint8_t& byte : x.values<uint8_t>()) byte = static_cast<uint8_t>(random.below(256));
  for (const Device device : devices()) {
    INFO(device);
    const std::vector<float> matrices(static_cast<size_t>(count * 6), 0.5f);
    check_pixels(warped(x, matrices, 1, 1, DType::f32, device), [&](int64_t n, int64_t, int64_t, int64_t c) {
      return static_cast<float>(x.values<uint8_t>()[static_cast<size_t>(n * kChannels + c)]);
    });
  }
}

}  // namespace engine::test
