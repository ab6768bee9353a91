// Convolutions and matrix products of whole numbers over random shapes: sums of small integers are exact in every type,
// so any difference from f64 is a wrong, lost or doubled term. And what convolution and pooling do with NaN and ties.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/conv.h"
#include "kernels/cpu/context.h"
#include "kernels/matmul.h"
#include "kernels/pool.h"
#include "tests/whole_numbers.h"

namespace engine::test {
namespace {

constexpr int kShapes = 200;

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.memory(), b.memory(), a.bytes()) == 0;
}

struct ConvProblem {
  Conv3d p;
  Shape x, w, y;
};

ConvProblem random_conv(Random& random) {
  for (;;) {
    Conv2d p;
    p.stride_h = from_to(random, 1, 3), p.stride_w = from_to(random, 1, 3);
    p.pad_h = from_to(random, 0, 2), p.pad_w = from_to(random, 0, 2);
    p.dilation_h = from_to(random, 1, 2), p.dilation_w = from_to(random, 1, 2);
    const int64_t depth = random.chance(0.3) ? 16 * from_to(random, 1, 3) : from_to(random, 1, 20);
    const int64_t outputs = random.chance(0.3) ? 16 * from_to(random, 1, 4) : from_to(random, 1, 40);
    p.groups = random.chance(0.7) ? 1 : from_to(random, 2, 4);
    const Shape x = {from_to(random, 1, 3), from_to(random, 1, 12), from_to(random, 1, 12), depth * p.groups};
    const Shape w = {outputs * p.groups, from_to(random, 1, 4), from_to(random, 1, 4), depth};
    const Shape y = conv_shape(over_time(p), x, w);
    if (y.elements() > 0) return {over_time(p), x, w, y};
  }
}

struct ConvResults {
  Tensor y, dx, dw;
};

ConvResults convolve(const ConvProblem& problem, DType dtype, const Tensor& x, const Tensor& w, const Tensor& bias,
                     const Tensor& dy, const Unary& f) {
  CpuContext& ctx = cpu_context();
  const ConvResults results{Tensor::empty(problem.y, dtype), Tensor::empty(problem.x, dtype),
                            Tensor::empty(problem.w, dtype)};
  const Tensor in = cast(x, dtype), weights = cast(w, dtype), upstream = cast(dy, dtype);
  conv_forward(ctx, problem.p, f, in, weights, bias ? cast(bias, dtype) : bias, results.y);
  conv_backward_input(ctx, problem.p, upstream, weights, results.dx);
  conv_backward_weight(ctx, problem.p, in, upstream, results.dw);
  return results;
}

// Every element of a tensor that a kernel has written must be a number: memory starts as NaN.
void check_exact(const ConvResults& got, const ConvResults& exact) {
  CHECK(equals_rounded(got.y, exact.y));
  CHECK(equals_rounded(got.dx, exact.dx));
  CHECK(equals_rounded(got.dw, exact.dw));
}

}  // namespace

TEST_CASE("convolutions of whole numbers are exact in f32 and bf16") {
  Random random(7, stream_of("conv_exact"));
  for (int i = 0; i < kShapes; ++i) {
    const ConvProblem problem = random_conv(random);
    const Tensor x = whole_numbers(problem.x, random), w = whole_numbers(problem.w, random);
    const Tensor dy = whole_numbers(problem.y, random);
    const Tensor bias = random.chance(0.5) ? whole_numbers({problem.w[0]}, random) : Tensor();
    const Unary f{random.chance(0.5) ? Unary::relu : Unary::affine};
    INFO("shape ", i, ": x ", concat(problem.x), ", w ", concat(problem.w), ", groups ", problem.p.groups);
    const ConvResults exact = convolve(problem, DType::f64, x, w, bias, dy, f);
    for (const DType dtype : {DType::f32, DType::bf16}) check_exact(convolve(problem, dtype, x, w, bias, dy, f), exact);
  }
}

TEST_CASE("matrix products of whole numbers are exact in f32 and bf16") {
  Random random(8, stream_of("matmul_exact"));
  for (int i = 0; i < kShapes; ++i) {
    const bool large = random.chance(0.3);
    const int64_t m = from_to(random, 1, large ? 150 : 40), k = from_to(random, 1, large ? 300 : 40);
    const int64_t n = from_to(random, 1, large ? 150 : 40), count = random.chance(0.5) ? 1 : from_to(random, 2, 9);
    const Matmul p{random.chance(0.5), random.chance(0.5)};
    const Tensor a = whole_numbers(p.transpose_a ? Shape{count, k, m} : Shape{count, m, k}, random);
    const Shape b_matrix = p.transpose_b ? Shape{n, k} : Shape{k, n};
    const bool shared = random.chance(0.3);
    const Tensor b = whole_numbers(shared ? b_matrix : Shape{count, b_matrix[0], b_matrix[1]}, random);
    INFO("shape ", i, ": ", concat(a.shape()), " by ", concat(b.shape()));
    const Tensor exact = matmul(a, b, p);
    for (const DType dtype : {DType::f32, DType::bf16})
      CHECK(equals_rounded(matmul(cast(a, dtype), cast(b, dtype), p), exact));
  }
}

TEST_CASE("products of strided views equal those of copies") {
  // q, k and v packed as (N, S, 3, H, D), as attention has them: per head, q k^T and then (q k^T) v into (N, S, H, D).
  const int64_t batch = 2, steps = 7, heads = 3, depth = 5;
  Random random(9, stream_of("matmul_strides"));
  const Tensor packed = whole_numbers({batch, steps, 3, heads, depth}, random);
  const Tensor apart = permute(packed, {2, 0, 3, 1, 4});  // (3, N, H, S, D)
  const auto copy_of = [&](int64_t which) {
    return apart.slice(which, which + 1).reshape({batch, heads, steps, depth});
  };
  const Tensor scores = matmul(copy_of(0), copy_of(1), {.transpose_b = true});
  for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
    const Tensor memory = cast(packed, dtype), got_scores = Tensor::empty({batch, heads, steps, steps}, dtype);
    const Tensor got = Tensor::empty({batch, steps, heads, depth}, dtype);
    const int64_t row = 3 * heads * depth;
    const auto view_of = [&](int64_t which, bool transposed) {
      const auto* first = static_cast<const char*>(memory.memory()) + which * heads * depth * size_of(dtype);
      return transposed ? ConstView(first, dtype, {batch, heads, depth, steps}, {steps * row, depth, 1, row})
                        : ConstView(first, dtype, {batch, heads, steps, depth}, {steps * row, depth, row, 1});
    };
    const View into(got.memory(), dtype, {batch, heads, steps, depth},
                    {steps * heads * depth, depth, heads * depth, 1});
    matmul(cpu_context(), {Unary::affine}, view_of(0, false), view_of(1, true), {}, got_scores);
    CHECK(equals_rounded(got_scores, scores));
    matmul(cpu_context(), {Unary::affine}, cast(scores, dtype), view_of(2, false), {}, into);
    // bf16 rounds the scores before the second product.
    const Tensor exact = matmul(cast(cast(scores, dtype), DType::f64), copy_of(2));
    CHECK(equals_rounded(permute(got, {0, 2, 1, 3}), exact));
  }
}

TEST_CASE("empty batches") {
  for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
    const Tensor w = Tensor::full({4, 3, 3, 2}, 1.0, dtype).set_requires_grad(),
                 bias = Tensor::full({4}, 1.0, dtype).set_requires_grad();
    const Tensor y = conv2d(Tensor::zeros({0, 5, 5, 2}, dtype), w, bias, {}, {Unary::relu});
    CHECK(y.shape() == Shape{0, 3, 3, 4});
    y.backward(Tensor::zeros(y.shape(), dtype));
    CHECK(equals_rounded(w.grad(), Tensor::zeros(w.shape(), DType::f64)));
    CHECK(equals_rounded(bias.grad(), Tensor::zeros(bias.shape(), DType::f64)));
    const Tensor v = Tensor::full({4, 6}, 1.0, dtype).set_requires_grad();
    const Tensor z = linear(Tensor::zeros({0, 6}, dtype), v, bias, {Unary::gelu});
    CHECK(z.shape() == Shape{0, 4});
    z.backward(Tensor::zeros(z.shape(), dtype));
    CHECK(equals_rounded(v.grad(), Tensor::zeros(v.shape(), DType::f64)));
    CHECK(max_pool2d(Tensor::zeros({0, 4, 4, 2}, dtype), {}).shape() == Shape{0, 2, 2, 2});
    CHECK(average_pool2d(Tensor::zeros({0, 4, 4, 2}, dtype), {}).shape() == Shape{0, 2, 2, 2});
    CHECK(max_pool3d(Tensor::zeros({0, 3, 4, 4, 2}, dtype), {}).shape() == Shape{0, 1, 2, 2, 2});
    CHECK(average_pool3d(Tensor::zeros({0, 3, 4, 4, 2}, dtype), {}).shape() == Shape{0, 1, 2, 2, 2});
  }
}

TEST_CASE("a convolution repeated gives the same bytes, from any thread") {
  // Large enough that both backward passes split their sums over the threads.
  const ConvProblem problem{{.pad_h = 1, .pad_w = 1}, {6, 20, 20, 24}, {40, 3, 3, 24}, {6, 20, 20, 40}};
  Random random(10, stream_of("conv_repeat"));
  const auto normal = [&](const Shape& shape) {
    const Tensor x = Tensor::empty(shape, DType::f64);
    for (double& value : x.values<double>()) value = random.normal();
    return x;
  };
  const Tensor x = normal(problem.x), w = normal(problem.w), bias = normal({40}), dy = normal(problem.y);
  const int threads = cpu_threads();
  for (const int count : {1, 2, 3}) {
    set_cpu_threads(count);
    const auto run = [&] { return convolve(problem, DType::f32, x, w, bias, dy, {Unary::relu}); };
    const ConvResults first = run();
    const auto check_again = [&](const ConvResults& again) {
      return same_bytes(again.y, first.y) && same_bytes(again.dx, first.dx) && same_bytes(again.dw, first.dw);
    };
    for (int repeat = 0; repeat < 10; ++repeat) CHECK(check_again(run()));
    if (count > 1) continue;
    bool same[2] = {false, false};
    std::vector<std::thread> callers;
    for (bool& result : same)
      callers.emplace_back([&] {
        set_cpu_threads(1);  // OpenMP counts threads per caller
        result = check_again(run());
      });
    for (std::thread& caller : callers) caller.join();
    CHECK((same[0] && same[1]));
  }
  set_cpu_threads(threads);
}

TEST_CASE("NaN passes through a convolution with ReLU") {
  const Tensor x = Tensor::full({2, 6, 6, 16}, 1.0), w = Tensor::full({16, 3, 3, 16}, -1.0);
  x.values<float>()[0] = std::numeric_limits<float>::quiet_NaN();  // pixel (0, 0) of the first image
  const Tensor y = conv2d(x, w, {}, {.pad_h = 1, .pad_w = 1}, {Unary::relu});
  int64_t found = 0;
  for (const float value : y.values<float>()) found += std::isnan(value);
  CHECK(found == 4 * 16);  // the four outputs that see the pixel
  CHECK(y.values<float>().back() == 0.0f);
}

TEST_CASE("max pooling: NaN wins, and the first of equal maxima gets the gradient") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), low = -std::numeric_limits<float>::infinity();
  // Windows of 2x2 side by side: all equal; NaN third and fourth; nothing but -infinity; zeros of both signs.
  const Tensor x = Tensor::from<float>({7, 7, 1, 9, low, low, -0.0f, 0.0f,  //
                                        7, 7, nan, nan, low, low, 0.0f, -0.0f})
                       .reshape({1, 2, 8, 1});
  x.set_requires_grad();
  const Tensor y = max_pool2d(x, {});
  CHECK(y.values<float>()[0] == 7.0f);
  CHECK(std::isnan(y.values<float>()[1]));
  CHECK(y.values<float>()[2] == low);
  CHECK(std::signbit(y.values<float>()[3]));
  y.backward(Tensor::from<float>({1, 2, 3, 4}).reshape({1, 1, 4, 1}));
  const std::vector<float> expected = {1, 0, 0, 0, 3, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0, 0};
  CHECK(std::ranges::equal(x.grad().values<float>(), expected));
  // The rows as frames of one row each.
  const Tensor clip = x.detach().clone().reshape({1, 2, 1, 8, 1}).set_requires_grad();
  const Tensor over_frames = max_pool3d(clip, {.kernel_h = 1, .stride_h = 1});
  CHECK(std::memcmp(over_frames.memory(), y.memory(), y.bytes()) == 0);
  over_frames.backward(Tensor::from<float>({1, 2, 3, 4}).reshape({1, 1, 1, 4, 1}));
  CHECK(std::ranges::equal(clip.grad().values<float>(), expected));
}

}  // namespace engine::test
