// Dropout on CUDA gives the bytes that the CPU gives.
#include <cstring>
#include <limits>

#include "engine/random.h"
#include "kernels/dropout.h"
#include "tests/cuda_device.h"

namespace engine::test {
namespace {

Tensor dropped(const Dropout& p, int64_t step, const Tensor& x, bool in_place) {
  const Tensor now = Tensor::from<int64_t>({step}).to(x.device());
  const Tensor y = in_place ? x : Tensor::full(x.shape(), 7.0, x.dtype()).to(x.device());
  on(x.device(), [&](auto& ctx) { dropout(ctx, p, now, x, y); });
  return y.to(kCpu);
}

}  // namespace

TEST_CASE("CUDA: dropout gives the CPU's bytes at every size, rate, step and offset") {
  if (!have_device()) return;
  Random random(1);
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64_t count : {0, 1, 3, 4, 7, 8, 9, 2047, 2049, 30011})
      for (const double probability : {0.0, 0.1, 0.5, 0.999})
        for (const int64_t step : {int64_t{0}, int64_t{41}, int64_t{3} << 40 | 5, int64_t{-1}}) {
          const Dropout p{probability, 0xfedcba9876543210u ^ kDropoutKey, static_cast<uint32_t>(count + 77)};
          const Tensor x = normal({count}, 0, 1, random, dtype);
          const Tensor expected = dropped(p, step, x, false);
          for (const int64_t offset : {0, 1, 4})
            for (const bool in_place : {false, true}) {
              const Tensor got = dropped(p, step, placed(x, kCuda, offset), in_place);
              INFO(count, " ", name_of(dtype), ", rate ", probability, ", step ", step, ", offset ", offset);
              CHECK(std::memcmp(got.memory(), expected.memory(), expected.bytes()) == 0);
            }
        }
}

TEST_CASE("CUDA: dropped elements are 0 even where the input is not finite") {
  if (!have_device()) return;
  const Tensor bad = Tensor::full({4099}, std::numeric_limits<double>::infinity());
  const Tensor y = dropped({.probability = 0.5}, 1, bad.to(kCuda), false);
  for (const float value : y.values<float>()) CHECK((value == 0 || value == bad.values<float>()[0]));
}

}  // namespace engine::test
