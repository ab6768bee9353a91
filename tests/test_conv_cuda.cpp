// Convolutions on CUDA over random shapes: whole numbers are exact in every type, so any difference from f64 on the CPU
// is a wrong, lost or doubled term. And NaN, empty batches, odd addresses.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops.h"
#include "engine/random.h"
#include "tests/cuda_device.h"
#include "tests/whole_numbers.h"

namespace engine::test {
namespace {

struct Problem {
  bool clips = false;
  Conv3d p;
  Shape x, w, y;
  bool bias = false, relu = false;
};

Problem random_problem(Random& random) {
  for (;;) {
    Problem z;
    z.clips = random.chance(0.5);
    const auto axis = [&](int64_t& stride, int64_t& pad, int64_t& dilation, int64_t longest) {
      const bool idle = random.chance(0.3);  // so that clips are folded into images
      stride = idle ? 1 : from_to(random, 1, 3), pad = idle ? 0 : from_to(random, 0, 2);
      dilation = from_to(random, 1, 2);
      const int64_t input = from_to(random, 1, longest), kernel = idle ? 1 : from_to(random, 1, 4);
      z.x.push_back(input), z.w.push_back(kernel);
    };
    const int64_t groups = random.chance(0.7) ? 1 : from_to(random, 2, 4);
    const int64_t depth = random.chance(0.3) ? 16 * from_to(random, 1, 2) : from_to(random, 1, 12);
    const int64_t outputs = random.chance(0.3) ? 16 * from_to(random, 1, 2) : from_to(random, 1, 12);
    const int64_t n = from_to(random, 1, 3);
    z.p.groups = groups;
    z.x = {n}, z.w = {outputs * groups};
    if (z.clips) axis(z.p.stride_t, z.p.pad_t, z.p.dilation_t, 6);
    axis(z.p.stride_h, z.p.pad_h, z.p.dilation_h, 9);
    axis(z.p.stride_w, z.p.pad_w, z.p.dilation_w, 9);
    z.x.push_back(depth * groups), z.w.push_back(depth);
    z.y = conv_shape(z.p, z.x, z.w);
    z.bias = random.chance(0.6), z.relu = random.chance(0.5);
    if (z.y.elements() > 0) return z;
  }
}

Tensor apply(const Problem& z, const Tensor& x, const Tensor& w, const Tensor& bias) {
  const Unary f{z.relu ? Unary::relu : Unary::affine};
  if (z.clips) return conv3d(x, w, bias, z.p, f);
  const Conv3d& p = z.p;
  return conv2d(x, w, bias, {p.stride_h, p.stride_w, p.pad_h, p.pad_w, p.dilation_h, p.dilation_w, p.groups}, f);
}

// On the device in the given type; in the middle of a larger tensor where `odd`.
Tensor placed(const Tensor& exact, DType dtype, Device device, bool odd) {
  const Tensor values = cast(exact, dtype);
  if (!odd) return values.to(device).clone();
  const Tensor larger = Tensor::zeros({values.elements() + 7}, dtype, device);
  const Tensor inside = larger.slice(3, 3 + values.elements()).reshape(values.shape());
  inside.copy_from(values);
  return inside;
}

struct Results {
  Tensor y, dx, dw, dbias;
};

Results run(const Problem& z, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& dy, DType dtype,
            Device device, bool odd) {
  const Tensor in = placed(x, dtype, device, odd).set_requires_grad();
  const Tensor weights = placed(w, dtype, device, odd).set_requires_grad();
  const Tensor b = bias ? placed(bias, dtype, device, odd).set_requires_grad() : bias;
  const Tensor y = apply(z, in, weights, b);
  y.backward(placed(dy, dtype, device, odd));
  return {y.detach(), in.grad(), weights.grad(), b ? b.grad() : Tensor()};
}

}  // namespace

TEST_CASE("CUDA: convolutions of whole numbers are exact in f32, TF32 and bf16, at odd addresses too") {
  if (!have_device()) return;
  Random random(7, stream_of("conv_cuda"));
  for (int i = 0; i < 100; ++i) {
    const Problem z = random_problem(random);
    const Tensor x = whole_numbers(z.x, random), w = whole_numbers(z.w, random), dy = whole_numbers(z.y, random);
    const Tensor bias = z.bias ? whole_numbers({z.w[0]}, random) : Tensor();
    INFO("shape ", i, ": x ", concat(z.x), ", w ", concat(z.w), ", y ", concat(z.y), ", groups ", z.p.groups);
    const Results exact = run(z, x, w, bias, dy, DType::f64, kCpu, false);
    for (const auto& [dtype, products] :
         {std::pair{DType::f32, F32Products::strict}, {DType::f32, F32Products::tf32}, {DType::bf16, {}}}) {
      set_f32_products(products);
      const Results got = run(z, x, w, bias, dy, dtype, kCuda, i % 4 == 3);
      set_f32_products(F32Products::strict);
      INFO(name_of(dtype), products == F32Products::tf32 ? " (TF32)" : "");
      CHECK(equals_rounded(got.y, exact.y));
      CHECK(equals_rounded(got.dx, exact.dx));
      CHECK(equals_rounded(got.dw, exact.dw));
      if (bias) CHECK(equals_rounded(got.dbias, exact.dbias));
    }
  }
}

TEST_CASE("CUDA: NaN passes through a convolution with ReLU, with and without bias") {
  if (!have_device()) return;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const bool with_bias : {false, true}) {
      const Tensor x = Tensor::full({2, 6, 6, 16}, 1.0), w = Tensor::full({16, 3, 3, 16}, -1.0, dtype).to(kCuda);
      const Tensor bias = with_bias ? Tensor::full({16}, 0.5, dtype).to(kCuda) : Tensor();
      x.values<float>()[0] = std::numeric_limits<float>::quiet_NaN();  // pixel (0, 0) of the first image
      const Tensor y = conv2d(cast(x, dtype).to(kCuda), w, bias, {.pad_h = 1, .pad_w = 1}, {Unary::relu});
      const Tensor found = cast(y.to(kCpu), DType::f32);
      CHECK(std::ranges::count_if(found.values<float>(), [](float value) { return std::isnan(value); }) == 4 * 16);
      CHECK(found.values<float>().back() == 0.0f);
    }
}

TEST_CASE("CUDA: convolutions of empty batches") {
  if (!have_device()) return;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Tensor w = Tensor::full({4, 3, 3, 2}, 1.0, dtype).to(kCuda).set_requires_grad();
    const Tensor bias = Tensor::full({4}, 1.0, dtype).to(kCuda).set_requires_grad();
    const Tensor x = Tensor::zeros({0, 5, 5, 2}, dtype, kCuda).set_requires_grad();
    const Tensor y = conv2d(x, w, bias, {}, {Unary::relu});
    CHECK(y.shape() == Shape{0, 3, 3, 4});
    y.backward(Tensor::zeros(y.shape(), dtype, kCuda));
    CHECK(x.grad().shape() == x.shape());
    CHECK(equals_rounded(w.grad(), Tensor::zeros(w.shape(), DType::f64)));
    CHECK(equals_rounded(bias.grad(), Tensor::zeros(bias.shape(), DType::f64)));
    const Tensor clips = Tensor::zeros({0, 4, 5, 5, 2}, dtype, kCuda);
    const Tensor kernel = Tensor::full({4, 3, 3, 3, 2}, 1.0, dtype).to(kCuda);
    CHECK(conv3d(clips, kernel, bias, {}).shape() == Shape{0, 2, 3, 3, 4});
  }
}

}  // namespace engine::test
