// Attention by cuDNN against the f64 reference of the CPU: what it assigns besides y, strides of every kind, and what
// is left to the other ways (kernels/cuda/sdpa.h).
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/attention.h"
#include "kernels/copy.h"
#include "tests/cuda_device.h"

namespace engine::test {
namespace {

struct Problem {
  int64_t n, s, l, h, d;
  Attention p;
  std::vector<int64_t> lengths{};
};

// How q, k and v lie in memory, and their gradients alike.
struct Layout {
  int64_t parts = 1;    // of a row: (N, rows, parts, H, D), of which the middle one is used
  int64_t padding = 0;  // elements behind each head
  int64_t offset = 0;   // elements before everything
};

struct Results {
  Tensor y, lse, dq, dk, dv;
};

// Memory for (n, rows, h, d) in a layout, full of NaN, and a view of it.
struct Placed {
  Tensor memory;
  View view;

  Placed(const Shape& shape, const Layout& layout, DType dtype, Device device) {
    const int64_t head = shape[3] + layout.padding, row = shape[2] * head, pitch = layout.parts * row;
    memory = Tensor::full({layout.offset + shape[0] * shape[1] * pitch}, std::nan(""), dtype, device);
    view = View(static_cast<char*>(memory.memory()) + (layout.offset + layout.parts / 2 * row) * size_of(dtype), dtype,
                shape, {shape[1] * pitch, pitch, head, 1});
  }
};

Results run(const Problem& problem, Device device, DType dtype, const Layout& layout) {
  const auto& [n, s, l, h, d, p, lengths] = problem;
  Random random(23);
  const Shape queries{n, s, h, d}, keys{n, l, h, d};
  // The same values in every type: what bf16 can hold.
  const auto draw = [&](const Shape& shape) {
    return cast(normal(shape, 0, 1, random, DType::bf16), dtype).to(device);
  };
  const Tensor q = draw(queries), k = draw(keys), v = draw(keys), dy = draw(queries);
  const Tensor seen = lengths.empty() ? Tensor() : Tensor::from(lengths, {n}).to(device);
  const Tensor step = Tensor::from<int64_t>({5}).to(device);
  const auto poisoned = [&](const Shape& shape, DType type) { return Tensor::full(shape, std::nan(""), type, device); };
  const auto placed = [&](const Shape& shape) { return Placed(shape, layout, dtype, device); };
  const Placed Q = placed(queries), K = placed(keys), V = placed(keys);
  const Placed dQ = placed(queries), dK = placed(keys), dV = placed(keys);
  Results r{.y = poisoned(queries, dtype),
            .lse = poisoned({n, h, s}, dtype == DType::f64 ? DType::f64 : DType::f32),
            .dq = poisoned(queries, dtype),
            .dk = poisoned(keys, dtype),
            .dv = poisoned(keys, dtype)};
  on(device, [&](auto& ctx) {
    copy(ctx, q, Q.view);
    copy(ctx, k, K.view);
    copy(ctx, v, V.view);
    attention_forward(ctx, p, Q.view, K.view, V.view, seen, step, r.y, r.lse);
    attention_backward(ctx, p, Q.view, K.view, V.view, seen, step, r.y, r.lse, dy, dQ.view, dK.view, dV.view);
    copy(ctx, dQ.view, r.dq);
    copy(ctx, dK.view, r.dk);
    copy(ctx, dV.view, r.dv);
  });
  for (Tensor* each : {&r.y, &r.lse, &r.dq, &r.dk, &r.dv}) *each = each->to(kCpu);
  return r;
}

// Relative L2, infinite where a value is NaN or one of the two is infinite.
double relative_error(const Tensor& got, const Tensor& expected) {
  const Tensor a = cast(got, DType::f64), b = cast(expected, DType::f64);
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.values<double>().size(); ++i) {
    const double x = a.values<double>()[i], y = b.values<double>()[i];
    if (x == y) continue;  // of two infinities too
    if (!std::isfinite(x - y)) return std::numeric_limits<double>::infinity();
    error += (x - y) * (x - y);
    norm += y * y;
  }
  return std::sqrt(error / (norm + 1e-300));
}

// y and the gradients of rows without a key are 0 exactly, and lse is -infinity.
void check_unseen(const Problem& problem, const Results& r) {
  const auto& [n, s, l, h, d, p, lengths] = problem;
  for (int64_t batch = 0; batch < n; ++batch) {
    const int64_t length = std::clamp<int64_t>(lengths[static_cast<size_t>(batch)], 0, l);
    const auto all_zero = [&](const Tensor& x, int64_t from) {
      const Tensor rows = cast(x.slice(batch, batch + 1), DType::f32).reshape({x.size(1), h * d});
      const Tensor unseen = rows.slice(from, x.size(1));
      return std::ranges::all_of(unseen.values<float>(), [](float value) { return value == 0; });
    };
    CHECK(all_zero(r.dk, length));
    CHECK(all_zero(r.dv, length));
    if (length > 0) continue;
    CHECK(all_zero(r.y, 0));
    CHECK(all_zero(r.dq, 0));
    const Tensor lse = r.lse.slice(batch, batch + 1);
    CHECK(std::ranges::all_of(lse.values<float>(), [](float value) { return value == -HUGE_VALF; }));
  }
}

}  // namespace

TEST_CASE("CUDA: long attention in bf16 agrees with f64, whatever the strides and addresses") {
  if (!have_device()) return;
  for (const Problem& problem : {Problem{2, 133, 140, 2, 16, {.scale = 0.3}},
                                 {1, 150, 131, 3, 8, {.scale = 0.5, .causal = true}},
                                 {4, 9, 141, 2, 8, {.scale = 0.4}, {17, 0, 999, 141}},
                                 {3, 139, 139, 2, 24, {.scale = 0.2, .causal = true}, {-3, 1, 138}}}) {
    const Results expected = run(problem, kCpu, DType::f64, {});
    for (const Layout& layout : {Layout{}, {.parts = 3}, {.padding = 8}, {.padding = 3}, {.offset = 1}}) {
      INFO("S ", problem.s, ", parts ", layout.parts, ", padding ", layout.padding, ", offset ", layout.offset);
      const Results got = run(problem, kCuda, DType::bf16, layout);
      CHECK(relative_error(got.lse, expected.lse) < 3e-3);
      CHECK(relative_error(got.y, expected.y) < 1e-2);
      CHECK(relative_error(got.dq, expected.dq) < 1.2e-2);
      CHECK(relative_error(got.dk, expected.dk) < 1.2e-2);
      CHECK(relative_error(got.dv, expected.dv) < 1.2e-2);
      if (!problem.lengths.empty()) check_unseen(problem, got);
    }
  }
}

TEST_CASE("CUDA: long attention in bf16 twice gives the same bytes") {
  if (!have_device()) return;
  const Problem problem{2, 260, 391, 2, 64, {.scale = 0.125, .causal = true}, {391, 200}};
  const Results a = run(problem, kCuda, DType::bf16, {.parts = 3}), b = run(problem, kCuda, DType::bf16, {.parts = 3});
  CHECK(relative_error(a.lse, b.lse) == 0);
  CHECK(relative_error(a.y, b.y) == 0);
  CHECK(relative_error(a.dq, b.dq) == 0);
  CHECK(relative_error(a.dk, b.dk) == 0);
  CHECK(relative_error(a.dv, b.dv) == 0);
}

}  // namespace engine::test
