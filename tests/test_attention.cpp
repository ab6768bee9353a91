// What the rows of the case table cannot say of attention: strides of every kind, the saved log-sum-exp, and that the
// two ways to compute it on CUDA agree, as do some batches at a time and all on the CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/attention_composed.h"
#include "kernels/copy.h"
#include "kernels/cpu/context.h"

namespace engine {
namespace {

struct Problem {
  int64_t n, s, l, h, d;
  Attention p;
  std::vector<int64_t> lengths{};
};

struct Results {
  Tensor y, lse, dq, dk, dv;  // dk and dv (N, L, H, D)
};

// One of the two arrays in pairs (N, L, 2, H, D).
View half_of(const Tensor& pairs, int64_t which) {
  const int64_t width = pairs.size(3) * pairs.size(4);
  return View(static_cast<char*>(pairs.memory()) + which * width * size_of(pairs.dtype()), pairs.dtype(),
              {pairs.size(0), pairs.size(1), pairs.size(3), pairs.size(4)},
              {pairs.size(1) * 2 * width, 2 * width, pairs.size(4), 1});
}

Tensor joined(const Tensor& a, const Tensor& b) {
  const auto one = [](const Tensor& x) { return x.reshape({x.size(0), x.size(1), 1, x.size(2), x.size(3)}); };
  return concat({one(a), one(b)}, 2);
}

// x (N, S, H, D) that lies in memory head by head.
Tensor head_major(const Tensor& x) { return permute(x, {0, 2, 1, 3}); }

// Forward and backward from drawn inputs, with every array contiguous, or q and dq head by head and k and v (dk and dv)
// beside each other. Composed: by kernels/attention_composed.h, else by the kernel's own choice.
Results run(const Problem& problem, Device device, DType dtype, bool strided, bool composed) {
  const auto [n, s, l, h, d, p, lengths] = problem;
  Random random(11);
  const auto draw = [&](int64_t rows) { return normal({n, rows, h, d}, 0, 1, random, dtype).to(device); };
  const Tensor q = draw(s), k = draw(l), v = draw(l), dy = draw(s);
  const auto poisoned = [&](const Shape& shape) { return Tensor::full(shape, 77.0, dtype, device); };
  const Tensor seen = lengths.empty() ? Tensor() : Tensor::from(lengths, {n}).to(device);
  const Tensor step = Tensor::from<int64_t>({5}).to(device);
  Results r{.y = poisoned(q.shape()),
            .lse = Tensor::full({n, h, s}, 77.0, dtype == DType::f64 ? DType::f64 : DType::f32, device),
            .dq = poisoned(q.shape()),
            .dk = poisoned(k.shape()),
            .dv = poisoned(v.shape())};
  const Tensor q_heads = head_major(q), dq_heads = poisoned(q_heads.shape()), kv = joined(k, v),
               dkv = poisoned(kv.shape());
  using attention_composed::by_head;
  const ConstView Q = strided ? by_head(ConstView(q_heads)) : ConstView(q);
  const ConstView K = strided ? half_of(kv, 0) : ConstView(k), V = strided ? half_of(kv, 1) : ConstView(v);
  const View dQ = strided ? by_head(View(dq_heads)) : View(r.dq);
  const View dK = strided ? half_of(dkv, 0) : View(r.dk), dV = strided ? half_of(dkv, 1) : View(r.dv);
  on(device, [&](auto& ctx) {
    if (composed) {
      attention_composed::forward(ctx, p, Q, K, V, seen, step, r.y, r.lse);
      attention_composed::backward(ctx, p, Q, K, V, seen, step, r.lse, dy, dQ, dK, dV);
    } else {
      attention_forward(ctx, p, Q, K, V, seen, step, r.y, r.lse);
      attention_backward(ctx, p, Q, K, V, seen, step, r.y, r.lse, dy, dQ, dK, dV);
    }
  });
  if (strided) {
    on(device, [&](auto& ctx) {
      copy(ctx, dQ, r.dq);
      copy(ctx, dK, r.dk);
      copy(ctx, dV, r.dv);
    });
  }
  for (Tensor* each : {&r.y, &r.lse, &r.dq, &r.dk, &r.dv}) *each = each->to(kCpu);
  return r;
}

double relative_error(const Tensor& got, const Tensor& expected) {
  const Tensor a = cast(got, DType::f64), b = cast(expected, DType::f64);
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.values<double>().size(); ++i) {
    const double x = a.values<double>()[i], y = b.values<double>()[i];
    if (x == y) continue;  // of two infinities too
    error += (x - y) * (x - y);
    norm += y * y;
  }
  return std::sqrt(error / (norm + 1e-300));
}

std::vector<std::pair<const Tensor*, const Tensor*>> pairs_of(const Results& a, const Results& b) {
  return {{&a.y, &b.y}, {&a.lse, &b.lse}, {&a.dq, &b.dq}, {&a.dk, &b.dk}, {&a.dv, &b.dv}};
}

std::vector<Problem> problems() {
  return {{2, 7, 13, 3, 8, {.scale = 0.5}, {9, 0}},
          {2, 33, 40, 2, 24, {.scale = 0.2, .causal = true, .dropout = {0.2, 99, 1}}, {40, 17}},
          {1, 66, 5, 2, 5, {.scale = 1.0, .dropout = {0.5, 3, 4}}}};
}

const Device kCuda{DeviceType::cuda, 0};

}  // namespace

TEST_CASE("attention takes strides of every kind") {
  for (const Problem& problem : problems()) {
    const Results contiguous = run(problem, kCpu, DType::f64, false, false);
    const Results strided = run(problem, kCpu, DType::f64, true, false);
    for (const auto& [a, b] : pairs_of(contiguous, strided)) {
      CHECK(std::memcmp(a->memory(), b->memory(), a->bytes()) == 0);
    }
    const Results bf16_contiguous = run(problem, kCpu, DType::bf16, false, false);
    const Results bf16_strided = run(problem, kCpu, DType::bf16, true, false);
    for (const auto& [a, b] : pairs_of(bf16_contiguous, bf16_strided)) CHECK(relative_error(*a, *b) < 1e-3);
  }
}

TEST_CASE("attention saves the logarithm of the sum of exponentials") {
  const Problem problem{2, 3, 4, 2, 5, {.scale = 0.7, .causal = true}, {3, 0}};
  Random random(11);
  const Tensor q = normal({2, 3, 2, 5}, 0, 1, random, DType::f64), k = normal({2, 4, 2, 5}, 0, 1, random, DType::f64);
  const Results results = run(problem, kCpu, DType::f64, false, false);
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t s = 0; s < 3; ++s) {
        double sum = 0;
        for (int64_t l = 0; l <= s && l < problem.lengths[static_cast<size_t>(n)]; ++l) {
          double dot = 0;
          for (int64_t d = 0; d < 5; ++d)
            dot += q.values<double>()[static_cast<size_t>(((n * 3 + s) * 2 + h) * 5 + d)] *
                   k.values<double>()[static_cast<size_t>(((n * 4 + l) * 2 + h) * 5 + d)];
          sum += std::exp(0.7 * dot);
        }
        const double got = results.lse.values<double>()[static_cast<size_t>((n * 2 + h) * 3 + s)];
        if (n == 1)
          CHECK(got == -HUGE_VAL);
        else
          CHECK(got == doctest::Approx(std::log(sum)).epsilon(1e-13));
      }
}

TEST_CASE("attention gives the same bytes by some batches at a time as by all at once") {
  const int threads = cpu_threads();
  set_cpu_threads(1);
  for (const Problem& problem : {Problem{5, 100, 600, 1, 3, {.scale = 0.4}, {600, 31, 0, 9, 77}},  // two at a time
                                 Problem{3, 130, 520, 2, 3, {.scale = 0.4, .causal = true}},       // one
                                 Problem{3, 100, 700, 2, 3, {.scale = 0.4, .dropout = {0.3, 7, 2}}}})
    for (const bool strided : {false, true}) {
      const Results some = run(problem, kCpu, DType::f32, strided, false);
      const Results all = run(problem, kCpu, DType::f32, strided, true);
      for (const auto& [a, b] : pairs_of(some, all)) CHECK(std::memcmp(a->memory(), b->memory(), a->bytes()) == 0);
    }
  set_cpu_threads(threads);
}

TEST_CASE("CUDA: attention in one kernel and by products of matrices agree, whatever the strides") {
  if (!cuda_available()) {
    MESSAGE("skipped: ", cuda_unavailable_reason());
    return;
  }
  for (const Problem& problem : problems())
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Results fused = run(problem, kCuda, dtype, false, false);
      const Results fused_strided = run(problem, kCuda, dtype, true, false);
      for (const auto& [a, b] : pairs_of(fused, fused_strided))
        CHECK(std::memcmp(a->memory(), b->memory(), a->bytes()) == 0);
      // Products in bf16 round the scores, the probabilities and their gradients.
      const double bound = dtype == DType::f32 ? 2e-6 : 1e-2;
      for (const bool strided : {false, true}) {
        const Results composed = run(problem, kCuda, dtype, strided, true);
        for (const auto& [a, b] : pairs_of(fused, composed)) CHECK(relative_error(*a, *b) < bound);
      }
    }
}

}  // namespace engine
