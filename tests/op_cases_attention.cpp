#include <cmath>

#include "engine/random.h"
#include "kernels/dropout.h"
#include "kernels/philox.h"
#include "tests/op_cases.h"

namespace engine::test {
namespace {

constexpr uint64_t kSeed = 0x0fedcba987654321u;
constexpr int64_t kStep = 0x300000009;

struct Problem {
  std::string what;
  int64_t n, s, l, h, d;
  bool causal = false;
  std::vector<int64_t> lengths{};
  double dropout = 0;
  std::optional<double> scale{};
};

// What dropout, as the first op of the pass, makes of 1 at this index.
double kept(double probability, int64_t index) {
  const auto words = philox(kSeed ^ kDropoutKey, {static_cast<uint32_t>(index / 4), 9, 3, 0});
  const double u = static_cast<double>(words[static_cast<size_t>(index % 4)] >> 8) / 16777216.0;
  return u < probability ? 0.0 : 1 / (1 - probability);
}

// Query by query, straight from the definition; q(n, s, h, d) and so on give the elements.
template <class Q, class K, class V>
Tensor attention_reference(const Problem& p, const Q& q, const K& k, const V& v) {
  const Array y(Shape{p.n, p.s, p.h, p.d});
  const double scale = p.scale.value_or(1 / std::sqrt(static_cast<double>(p.d)));
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t h = 0; h < p.h; ++h)
      for (int64_t s = 0; s < p.s; ++s) {
        double sum = 0;
        for (int64_t l = 0; l < p.l; ++l) {
          if ((p.causal && l > s) || (!p.lengths.empty() && l >= p.lengths[static_cast<size_t>(n)])) continue;
          double dot = 0;
          for (int64_t d = 0; d < p.d; ++d) dot += q(n, s, h, d) * k(n, l, h, d);
          const double weight = std::exp(scale * dot);
          const double factor = p.dropout > 0 ? kept(p.dropout, ((n * p.h + h) * p.s + s) * p.l + l) : 1.0;
          sum += weight;
          for (int64_t d = 0; d < p.d; ++d) y(n, s, h, d) += weight * factor * v(n, l, h, d);
        }
        for (int64_t d = 0; d < p.d && sum > 0; ++d) y(n, s, h, d) /= sum;
      }
  return y.tensor;
}

AttentionOptions options_of(const Problem& p, Device device) {
  StepRandom::current().set_seed(kSeed);
  StepRandom::current().begin_step(Tensor::from<int64_t>({kStep}).to(device));
  const Tensor lengths = p.lengths.empty() ? Tensor() : Tensor::from(p.lengths, {p.n}).to(device);
  return {p.scale, p.causal, lengths, p.dropout};
}

// 0 for what CUDA computes in one kernel of ours, which the memory traffic bounds.
double flop(const Problem& p) {
  return std::max(p.s, p.l) <= 128 && p.d <= 128 ? 0.0 : 4.0 * static_cast<double>(p.n * p.h * p.s * p.l * p.d);
}

// Products of matrices in bf16 round every score, by up to 2^-9 of itself: with scores of up to 3, the probabilities
// then err by up to 6e-3.
double bf16_bound(const Problem& p) { return flop(p) > 0 ? 6e-3 : 4e-3; }

std::string name_of(const Problem& p) {
  return concat(p.what, ": N ", p.n, " S ", p.s, " L ", p.l, " H ", p.h, " D ", p.d);
}

OpCase separate_case(const Problem& p) {
  const Shape keys{p.n, p.l, p.h, p.d};
  return {
      .op = "attention",
      .what = name_of(p),
      .inputs = {{{p.n, p.s, p.h, p.d}}, {keys}, {keys}},
      .run = [p](const Tensors& in) { return Tensors{attention(in[0], in[1], in[2], options_of(p, in[0].device()))}; },
      .reference =
          [p](const Tensors& in) { return Tensors{attention_reference(p, Array(in[0]), Array(in[1]), Array(in[2]))}; },
      .bf16 = bf16_bound(p),
      .flop = flop(p)};
}

OpCase packed_case(const Problem& p) {
  return {.op = "attention_packed",
          .what = name_of(p),
          .inputs = {{{p.n, p.s, 3, p.h, p.d}}},
          .run = [p](const Tensors& in) { return Tensors{attention_packed(in[0], options_of(p, in[0].device()))}; },
          .reference =
              [p](const Tensors& in) {
                const auto part = [x = Array(in[0])](int64_t which) {
                  return [=](int64_t n, int64_t s, int64_t h, int64_t d) { return x(n, s, which, h, d); };
                };
                return Tensors{attention_reference(p, part(0), part(1), part(2))};
              },
          .bf16 = bf16_bound(p),
          .flop = flop(p)};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  for (const Problem& p : {
           Problem{.what = "plain", .n = 2, .s = 7, .l = 13, .h = 3, .d = 8},
           {.what = "one of everything", .n = 1, .s = 1, .l = 1, .h = 1, .d = 1},
           {.what = "one query", .n = 3, .s = 1, .l = 5, .h = 2, .d = 24},
           {.what = "more keys than a warp", .n = 1, .s = 5, .l = 70, .h = 2, .d = 3},
           {.what = "more queries than keys", .n = 2, .s = 67, .l = 6, .h = 1, .d = 5},
           {.what = "wide heads", .n = 1, .s = 3, .l = 4, .h = 1, .d = 128},
           {.what = "scale", .n = 1, .s = 7, .l = 6, .h = 2, .d = 8, .scale = 0.3},
           {.what = "causal", .n = 2, .s = 13, .l = 13, .h = 2, .d = 24, .causal = true},
           {.what = "causal, more keys", .n = 1, .s = 7, .l = 13, .h = 2, .d = 8, .causal = true},
           {.what = "causal, more queries", .n = 1, .s = 13, .l = 7, .h = 2, .d = 8, .causal = true},
           {.what = "lengths", .n = 4, .s = 7, .l = 13, .h = 2, .d = 8, .lengths = {5, 0, 13, 99}},
           {.what = "causal, lengths", .n = 3, .s = 9, .l = 9, .h = 2, .d = 8, .causal = true, .lengths = {4, 0, 9}},
           {.what = "dropout", .n = 2, .s = 7, .l = 13, .h = 3, .d = 8, .dropout = 0.3},
           {.what = "causal, lengths, dropout",
           .n = 3,
           .s = 11,
           .l = 12,
           .h = 2,
           .d = 24,
           .causal = true,
           .lengths = {12, 0, 5},
           .dropout = 0.1},
           {.what = "at the limits of one block", .n = 1, .s = 128, .l = 128, .h = 1, .d = 40, .causal = true},
           {.what = "long", .n = 1, .s = 130, .l = 131, .h = 2, .d = 24},
           {.what = "long, causal, more queries",
           .n = 1,
           .s = 141,
           .l = 133,
           .h = 2,
           .d = 8,
           .causal = true,
           .scale = 0.4},
           {.what = "long, lengths", .n = 4, .s = 30, .l = 137, .h = 2, .d = 16, .lengths = {129, 0, 137, 999}},
           {.what = "long, causal, lengths",
           .n = 2,
           .s = 135,
           .l = 139,
           .h = 1,
           .d = 8,
           .causal = true,
           .lengths = {-1, 71}},
           {.what = "long, odd heads", .n = 1, .s = 131, .l = 9, .h = 2, .d = 12},
           {.what = "many keys", .n = 2, .s = 5, .l = 300, .h = 2, .d = 8, .lengths = {300, 129}, .dropout = 0.2},
           {.what = "many queries", .n = 1, .s = 150, .l = 4, .h = 1, .d = 7, .causal = true},
           {.what = "very wide heads", .n = 2, .s = 6, .l = 5, .h = 2, .d = 136, .lengths = {3, 5}},
       })
    rows.push_back(separate_case(p));
  for (const Problem& p : {
           Problem{.what = "plain", .n = 2, .s = 7, .l = 7, .h = 3, .d = 8},
           {.what = "causal, lengths, dropout",
           .n = 3,
           .s = 13,
           .l = 13,
           .h = 2,
           .d = 24,
           .causal = true,
           .lengths = {13, 0, 6},
           .dropout = 0.25},
           {.what = "one head, odd", .n = 2, .s = 33, .l = 33, .h = 1, .d = 5},
           {.what = "long", .n = 1, .s = 130, .l = 130, .h = 2, .d = 8, .causal = true, .dropout = 0.1},
           {.what = "long, no dropout", .n = 2, .s = 133, .l = 133, .h = 2, .d = 16},
           {.what = "long, causal, lengths",
           .n = 2,
           .s = 147,
           .l = 147,
           .h = 2,
           .d = 8,
           .causal = true,
           .lengths = {0, 131}},
       })
    rows.push_back(packed_case(p));
  return rows;
}

std::vector<BadCall> refused() {
  const auto t = [](const Shape& shape, DType dtype = DType::f32) { return Tensor::zeros(shape, dtype); };
  const Tensor x = t({2, 3, 4, 8}), packed = t({2, 5, 3, 4, 8});
  const std::string expected = "expected q (N, S, H, D), k and v (N, L, H, D), got ";
  return {{"attention", "one float type, got q f32, k f64, v f32",
           [=] {
             attention(x, t({2, 3, 4, 8}, DType::f64), x);
           }},
          {"attention", "one float type, got q i64",
           [=] {
             const Tensor whole = t({2, 3, 4, 8}, DType::i64);
             attention(whole, whole, whole);
           }},
          {"attention", expected + "(2,3,4,8), (2,3,4,6) and (2,3,4,6)",
           [=] {
             attention(x, t({2, 3, 4, 6}), t({2, 3, 4, 6}));
           }},
          {"attention", expected + "(2,3,4,8), (2,5,2,8)",
           [=] {
             attention(x, t({2, 5, 2, 8}), t({2, 5, 2, 8}));
           }},
          {"attention", expected + "(2,3,4,8), (1,5,4,8)",
           [=] {
             attention(x, t({1, 5, 4, 8}), t({1, 5, 4, 8}));
           }},
          {"attention", expected + "(2,3,4,8), (2,3,4,8) and (2,5,4,8)",
           [=] {
             attention(x, x, t({2, 5, 4, 8}));
           }},
          {"attention", expected + "(2,3,8)",
           [=] {
             attention(t({2, 3, 8}), x, x);
           }},
          {"attention", "at least one query, one key and D > 0",
           [=] {
             attention(x, t({2, 0, 4, 8}), t({2, 0, 4, 8}));
           }},
          {"attention", "expected lengths (2) i64, got (3) i64",
           [=] { attention(x, x, x, {.lengths = t({3}, DType::i64)}); }},
          {"attention", "expected lengths (2) i64, got (2) f32", [=] { attention(x, x, x, {.lengths = t({2})}); }},
          {"attention", "at least 0 and less than 1, got 1", [=] { attention(x, x, x, {.dropout = 1.0}); }},
          {"attention_packed", "expected a float tensor (N, S, 3, H, D), got (2,5,2,4,8) f32",
           [=] {
             attention_packed(t({2, 5, 2, 4, 8}));
           }},
          {"attention_packed", "got (2,5,3,4,8) u8",
           [=] {
             attention_packed(t({2, 5, 3, 4, 8}, DType::u8));
           }},
          {"attention_packed", "at least 0 and less than 1, got -0.5",
           [=] { attention_packed(packed, {.dropout = -0.5}); }}};
}

const Family attention_family{cases, refused};

}  // namespace
}  // namespace engine::test
