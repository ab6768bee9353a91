// What affine maps of frames show where the answer is known, on the CPU and on CUDA where there is a device.
#include <algorithm>
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

// The bytes of x, and as many behind them as must be there.
Tensor with_room(const Tensor& x) {
  const Tensor larger = Tensor::zeros({x.elements() + 3}, DType::u8);
  larger.slice(0, x.elements()).copy_from(x.reshape({x.elements()}));
  return larger;
}

// Frame n of x (N, H, W, 3) seen through the n-th matrix, its colours as they are.
std::vector<Picture> seen_through(const Tensor& x, const std::vector<float>& matrices) {
  const auto height = static_cast<int>(x.size(1)), width = static_cast<int>(x.size(2));
  std::vector<Picture> pictures(static_cast<size_t>(x.size(0)));
  for (size_t n = 0; n < pictures.size(); ++n) {
    for (Picture::Grid& grid : pictures[n].grid) {
      grid = {width, height, 3 * width, 3, {}};
      std::copy_n(&matrices[6 * n], 6, &grid.m[0][0]);
    }
    for (int k = 0; k < 3; ++k) {
      pictures[n].plane[k] = static_cast<int64_t>(n) * height * width * 3 + k;
      pictures[n].colour[k][k] = 1;
    }
  }
  return pictures;
}

// In f32, with 8 channels.
Tensor warped(const Tensor& x, const std::vector<Picture>& pictures, int64_t rows, int64_t columns, DType dtype,
              Device device) {
  const Tensor y = warp_frames(with_room(x).to(device), pictures, {rows, columns, 8}, {0, 0, 0}, {1, 1, 1}, dtype);
  return cast(y.to(kCpu), DType::f32);
}
Tensor warped(const Tensor& x, const std::vector<float>& matrices, int64_t rows, int64_t columns, DType dtype,
              Device device) {
  return warped(x, seen_through(x, matrices), rows, columns, dtype, device);
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
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::u8}) {
      if (device != kCpu && dtype == DType::f64) continue;
      INFO(name_of(dtype), " on ", device);
      check_pixels(warped(x, matrices, 3, 5, dtype, device), [&](int64_t n, int64_t p, int64_t q, int64_t c) {
        if (n == 0) return pixel(0, p + 1, q + 3, c);
        if (n == 1) return pixel(1, p, kWidth - 1 - q, c);
        if (n == 2) return pixel(2, q, p, c);
        const float mean = (pixel(3, 2 * p, 2 * q, c) + pixel(3, 2 * p, 2 * q + 1, c) + pixel(3, 2 * p + 1, 2 * q, c) +
                            pixel(3, 2 * p + 1, 2 * q + 1, c)) /
                           4;
        if (dtype == DType::u8) return std::floor(mean + 0.5f);
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

TEST_CASE("what is outside, or has no number, is filled on request") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = random_frames(2);
  std::vector<Picture> pictures = seen_through(x, {1, 0, -2, 0, 1, -1,  // moved right by 2 and down by 1
                                                   1, 0, nan, 0, 1, 0});
  for (Picture& picture : pictures) {
    picture.fill_border = 1;
    for (int c = 0; c < 3; ++c) picture.fill[c] = 7.0f + static_cast<float>(c);
  }
  for (const Device device : devices()) {
    INFO(device);
    check_pixels(warped(x, pictures, 8, 13, DType::f32, device), [&](int64_t n, int64_t p, int64_t q, int64_t c) {
      const bool inside = n == 0 && p >= 1 && p <= kHeight && q >= 2 && q < kWidth + 2;
      const int64_t at = ((p - 1) * kWidth + q - 2) * kChannels + c;
      return inside ? static_cast<float>(x.values<uint8_t>()[static_cast<size_t>(at)]) : 7.0f + static_cast<float>(c);
    });
  }
}

TEST_CASE("u8 is the f64 result rounded, and limited where colours leave their range") {
  Random random(21);
  const Tensor x = random_frames(3);
  std::vector<float> matrices(18);
  for (float& number : matrices) number = static_cast<float>(random.normal());
  std::vector<Picture> pictures = seen_through(x, matrices);
  for (Picture& picture : pictures)
    for (auto& row : picture.colour)
      for (float& number : row) number = static_cast<float>(random.uniform(-1, 1.5));
  const Tensor exact = warp_frames(with_room(x), pictures, {9, 70, 3}, {0, 0, 0}, {1, 1, 1}, DType::f64);
  int64_t limited = 0;
  const auto check_rounded = [&](std::span<const uint8_t> rounded) {
    REQUIRE(std::ssize(rounded) == exact.elements());
    int64_t wrong = 0;
    for (size_t i = 0; i < rounded.size(); ++i) {
      const double value = exact.values<double>()[i];
      wrong += !(std::abs(value - rounded[i]) <= 0.5 + 1e-3);
      limited += value == 0 || value == 255;
    }
    CHECK(wrong == 0);
  };
  for (const Device device : devices()) {
    INFO(device);
    const Tensor y = warp_frames(with_room(x).to(device), pictures, {9, 70, 3}, {0, 0, 0}, {1, 1, 1}, DType::u8);
    check_rounded(y.to(kCpu).values<uint8_t>());
  }
  CHECK(limited > 100);
  std::vector<uint8_t> rgb(static_cast<size_t>(exact.elements()));
  warp_frames(with_room(x).values<uint8_t>(), pictures, 9, 70, rgb);
  check_rounded(rgb);
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
