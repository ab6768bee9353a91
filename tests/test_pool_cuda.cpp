// Pooling on CUDA gives the bytes that the CPU gives: with equal maxima, NaN and infinity, in many blocks, at any
// alignment.
#include <cstring>
#include <limits>

#include "engine/random.h"
#include "kernels/pool.h"
#include "tests/cuda_device.h"

namespace engine::test {
namespace {

// A few different values, so that many are equal, and some that are no numbers.
Tensor coarse(const Shape& shape, DType dtype, Random& random) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::empty(shape);
  for (float& value : x.values<float>()) {
    const uint64_t draw = random.below(100);
    value = draw == 0   ? std::numeric_limits<float>::quiet_NaN()
            : draw < 10 ? -kInfinity
            : draw < 12 ? kInfinity
                        : static_cast<float>(random.below(5)) - 2.0f;
  }
  const Tensor result = Tensor::empty(shape, dtype);
  result.copy_from(x);
  return result;
}

struct Results {
  Tensor largest, argmax, largest_dx, mean;
};

// With every tensor `offset` elements after the start of its memory.
Results pooled(const Pool3d& p, const Tensor& input, const Tensor& upstream, Device device, int64_t offset) {
  const auto poisoned = [=](const Shape& shape, DType dtype) {
    return placed(Tensor::full(shape, 77, dtype), device, offset);
  };
  const Tensor x = placed(input, device, offset), dy = placed(upstream, device, offset);
  const Results r{poisoned(dy.shape(), dy.dtype()), poisoned(dy.shape(), DType::u8), poisoned(x.shape(), x.dtype()),
                  poisoned(dy.shape(), dy.dtype())};
  on(device, [&](auto& ctx) {
    max_pool_forward(ctx, p, x, r.largest, r.argmax);
    max_pool_backward(ctx, p, dy, r.argmax, r.largest_dx);
    average_pool_forward(ctx, p, x, r.mean);
  });
  return {r.largest.to(kCpu), r.argmax.to(kCpu), r.largest_dx.to(kCpu), r.mean.to(kCpu)};
}

// Equal bytes, or NaN on both sides: which NaN an addition gives is the machine's choice.
bool same(const Tensor& a, const Tensor& b) {
  const auto in_f32 = [](const Tensor& x) {
    const Tensor y = Tensor::empty(x.shape());
    y.copy_from(x);
    return y;
  };
  const Tensor left = in_f32(a), right = in_f32(b);
  for (size_t i = 0; i < left.values<float>().size(); ++i) {
    const float x = left.values<float>()[i], y = right.values<float>()[i];
    if (std::memcmp(&x, &y, sizeof x) != 0 && !(x != x && y != y)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("CUDA: pooling gives the CPU's bytes") {
  if (!have_device()) return;
  const Pool2d halves, three_by_two{.kernel_h = 3, .kernel_w = 3, .pad_h = 1, .pad_w = 1};
  const Pool2d every{.kernel_h = 2, .kernel_w = 3, .stride_h = 1, .stride_w = 1, .pad_w = 1, .count_padding = false};
  const Pool2d large{.kernel_h = 5, .kernel_w = 16, .stride_h = 3, .stride_w = 1, .pad_h = 2, .pad_w = 8};
  const Pool2d far{.kernel_h = 2, .kernel_w = 1, .stride_h = int64_t{1} << 40, .stride_w = 9};
  const Pool3d cubes{.kernel_t = 3, .kernel_h = 3, .kernel_w = 3, .pad_t = 1, .pad_h = 1, .pad_w = 1};
  const Pool3d every_frame{.kernel_t = 3, .stride_t = 1, .stride_h = 1, .pad_w = 1, .count_padding = false};
  const Pool3d long_windows{.kernel_t = 16, .kernel_h = 4, .kernel_w = 4, .stride_t = int64_t{1} << 40, .pad_t = 8};
  struct Problem {
    Pool3d p;
    std::vector<Shape> shapes;
  };
  std::vector<Problem> problems;
  for (const Pool2d& p : {halves, three_by_two, every, large, far}) {
    problems.push_back({over_time(p), {{2, 13, 17, 24}, {1, 13, 17, 7}, {0, 13, 17, 8}}});
    problems.push_back({over_time(p), {{2, 3, 9, 17, 8}}});  // each frame for itself
  }
  for (const Pool3d& p : {Pool3d{}, cubes, every_frame, long_windows})
    problems.push_back({p, {{2, 5, 7, 9, 24}, {1, 6, 7, 9, 7}, {0, 5, 7, 9, 8}}});
  Random random(5);
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& [p, shapes] : problems)
      for (const Shape& shape : shapes) {
        const Shape out = pool_shape(p, shape);
        const Tensor x = coarse(shape, dtype, random), dy = normal(out, 0, 1, random, dtype);
        const Results expected = pooled(p, x, dy, kCpu, 0);
        for (const int64_t offset : {0, 1}) {
          const Results got = pooled(p, x, dy, kCuda, offset);
          INFO(name_of(dtype), ", kernel ", text_of(p.kernel(), true), ", x ", concat(shape), ", offset ", offset);
          CHECK(same(got.largest, expected.largest));
          CHECK(same(got.argmax, expected.argmax));
          CHECK(same(got.largest_dx, expected.largest_dx));
          CHECK(same(got.mean, expected.mean));
        }
      }
}

}  // namespace engine::test
