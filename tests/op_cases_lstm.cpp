#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

struct Problem {
  const char* what;
  int64_t n, t, c, h;
  bool h0 = false, c0 = false, reverse = false;
  // Which of y, h_n and c_n the row gives; the others get no gradient.
  std::vector<size_t> outputs = {0, 1, 2};
  std::vector<int64_t> lengths = {};
};

// Weights drawn with deviation 1 would drive the gates to their ends; a power of two changes no type's rounding.
constexpr double kWeightScale = 0.25;

// The slope of a gate near its end, 1 - g^2 say, is small against the rounding of the g that is saved.
constexpr double kBf16Gradient = 2e-2;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Sample by sample and unit by unit, from the definition.
Tensors lstm_reference(const Problem& p, const Tensors& in) {
  const Array x(in[0]), w_ih(in[1]), w_hh(in[2]), b_ih(in[3]), b_hh(in[4]);
  const Array y(Shape{p.n, p.t, p.h}), h(Shape{p.n, p.h}), c(Shape{p.n, p.h});
  if (p.h0) h.tensor.copy_from(in[5]);
  if (p.c0) c.tensor.copy_from(in[p.h0 ? 6 : 5]);
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t step = 0; step < p.t; ++step) {
      const int64_t t = p.reverse ? p.t - 1 - step : step;
      if (!p.lengths.empty() && t >= p.lengths[static_cast<size_t>(n)]) continue;
      std::vector<double> gates;
      for (int64_t k = 0; k < 4 * p.h; ++k) {
        double z = b_ih(k) + b_hh(k);
        for (int64_t j = 0; j < p.c; ++j) z += kWeightScale * w_ih(k, j) * x(n, t, j);
        for (int64_t j = 0; j < p.h; ++j) z += kWeightScale * w_hh(k, j) * h(n, j);
        gates.push_back(z);
      }
      for (int64_t k = 0; k < p.h; ++k) {
        const auto gate = [&](int64_t which) { return gates[static_cast<size_t>(which * p.h + k)]; };
        c(n, k) = sigmoid(gate(1)) * c(n, k) + sigmoid(gate(0)) * std::tanh(gate(2));
        y(n, t, k) = h(n, k) = sigmoid(gate(3)) * std::tanh(c(n, k));
      }
    }
  return {y.tensor, h.tensor, c.tensor};
}

Tensors chosen(const Problem& p, const Tensors& all) {
  Tensors some;
  for (const size_t which : p.outputs) some.push_back(all[which]);
  return some;
}

OpCase lstm_case(const Problem& p) {
  const Shape state{p.n, p.h};
  OpCase row{.op = "lstm",
             .what = concat(p.what, ": N ", p.n, " T ", p.t, " C ", p.c, " H ", p.h),
             .inputs = {{{p.n, p.t, p.c}}, {{4 * p.h, p.c}}, {{4 * p.h, p.h}}, {{4 * p.h}}, {{4 * p.h}}},
             .run =
                 [p](const Tensors& in) {
                   const Tensor w_ih = affine(in[1], kWeightScale, 0), w_hh = affine(in[2], kWeightScale, 0);
                   const Tensor lengths = p.lengths.empty() ? Tensor() : Tensor::from(p.lengths, {p.n});
                   return chosen(p, lstm(in[0], w_ih, w_hh, in[3], in[4], p.h0 ? in[5] : Tensor(),
                                         p.c0 ? in[p.h0 ? 6 : 5] : Tensor(), {p.reverse},
                                         lengths ? lengths.to(in[0].device()) : lengths));
                 },
             .reference = [p](const Tensors& in) { return chosen(p, lstm_reference(p, in)); },
             .bf16_grad = kBf16Gradient,
             .flop = 8.0 * static_cast<double>(p.n * p.t * p.h * (p.c + p.h))};
  if (p.h0) row.inputs.push_back({state});
  if (p.c0) row.inputs.push_back({.shape = state, .statistics = true});
  return row;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  for (const Problem& p : {
           Problem{"plain", 3, 5, 7, 4},
           {"states", 3, 5, 7, 4, true, true},
           {"h0 alone", 2, 4, 3, 5, true, false},
           {"c0 alone", 2, 4, 3, 5, false, true},
           {"reverse", 3, 5, 7, 4, false, false, true},
           {"reverse, states", 2, 6, 3, 5, true, true, true},
           {"one step", 3, 1, 5, 3},
           {"one step, states, reverse", 3, 1, 5, 3, true, true, true},
           {"one of everything", 1, 1, 1, 1},
           {"one sample", 1, 7, 4, 9, true, true},
           {"y alone", 2, 4, 3, 5, true, true, false, {0}},
           {"h alone", 2, 4, 3, 5, true, true, true, {1}},
           {"c alone", 2, 4, 3, 5, false, false, false, {2}},
           {"blocks and a rest", 9, 2, 11, 35, true, true},
           {"many samples", 40, 2, 3, 29},
           {"lengths", 6, 5, 3, 4, false, false, false, {0, 1, 2}, {3, 0, 5, 1, 9, -2}},
           {"lengths, reverse", 6, 5, 3, 4, false, false, true, {0, 1, 2}, {3, 0, 5, 1, 9, -2}},
           {"lengths, states", 5, 4, 3, 7, true, true, false, {0, 1, 2}, {3, 0, 4, 1, 2}},
           {"lengths, states, reverse", 5, 4, 3, 7, true, true, true, {0, 1, 2}, {3, 0, 4, 1, 2}},
           {"lengths, h0 alone, reverse", 3, 4, 3, 5, true, false, true, {0}, {2, 0, 4}},
           {"lengths, c0 alone", 3, 4, 3, 5, false, true, false, {2}, {2, 0, 3}},
           {"lengths, one step, reverse", 3, 1, 5, 3, true, true, true, {1}, {1, 0, 7}},
       })
    rows.push_back(lstm_case(p));
  return rows;
}

std::vector<BadCall> refused() {
  const auto t = [](const Shape& shape, DType dtype = DType::f32) { return Tensor::zeros(shape, dtype); };
  const auto call = [=](const Shape& x, const Shape& w_ih, const Shape& w_hh, const Shape& bias, const Tensor& h0 = {},
                        const Tensor& c0 = {}, DType dtype = DType::f32) {
    lstm(t(x, dtype), t(w_ih, dtype), t(w_hh, dtype), t(bias, dtype), t(bias, dtype), h0, c0);
  };
  return {{"lstm", "expected a float tensor (N, T, C) with T > 0 and C > 0, got (2,3) f32",
           [=] {
             call({2, 3}, {16, 3}, {16, 4}, {16});
           }},
          {"lstm", "got (2,0,3) f32",
           [=] {
             call({2, 0, 3}, {16, 3}, {16, 4}, {16});
           }},
          {"lstm", "expected weights of x's type f32, got f64",
           [=] {
             lstm(t({2, 5, 3}), t({16, 3}), t({16, 4}), t({16}), t({16}, DType::f64));
           }},
          {"lstm", "expected w_ih (4H, C) and w_hh (4H, H) for x (2,5,3), got (16,3) and (12,4)",
           [=] {
             call({2, 5, 3}, {16, 3}, {12, 4}, {16});
           }},
          {"lstm", "got (16,4) and (16,4)",
           [=] {
             call({2, 5, 3}, {16, 4}, {16, 4}, {16});
           }},
          {"lstm", "expected b_ih and b_hh (16), got (4)",
           [=] {
             call({2, 5, 3}, {16, 3}, {16, 4}, {4});
           }},
          {"lstm", "expected h0 (2,4) f32, got (2,5) f32",
           [=] {
             call({2, 5, 3}, {16, 3}, {16, 4}, {16}, t({2, 5}));
           }},
          {"lstm", "expected c0 (2,4) f32, got (2,4) bf16",
           [=] {
             call({2, 5, 3}, {16, 3}, {16, 4}, {16}, {}, t({2, 4}, DType::bf16), DType::bf16);
           }},
          {"lstm", "expected lengths (2) i64, got (3) i64",
           [=] {
             lstm(t({2, 5, 3}), t({16, 3}), t({16, 4}), t({16}), t({16}), {}, {}, {}, t({3}, DType::i64));
           }},
          {"lstm", "expected lengths (2) i64, got (2) f32", [=] {
             lstm(t({2, 5, 3}), t({16, 3}), t({16, 4}), t({16}), t({16}), {}, {}, {}, t({2}));
           }}};
}

const Family lstm_family{cases, refused};

}  // namespace
}  // namespace engine::test
