#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// The reference of a one-input op, element by element.
auto map(double (*f)(double)) {
  return [f](const Tensors& in) {
    const Array x(in[0]), y(in[0].shape());
    for (int64_t i = 0; i < x.elements(); ++i) y.flat(i) = f(x.flat(i));
    return Tensors{y.tensor};
  };
}

// The reference of a two-input op: b's elements are used over and over.
auto zip(double (*f)(double, double)) {
  return [f](const Tensors& in) {
    const Array a(in[0]), b(in[1]), y(in[0].shape());
    for (int64_t i = 0; i < a.elements(); ++i) y.flat(i) = f(a.flat(i), b.flat(i % b.elements()));
    return Tensors{y.tensor};
  };
}

double gelu_value(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

OpCase unary_case(const char* op, Tensor (*run)(const Tensor&), double (*f)(double), Fill fill,
                  const Shape& shape = {3, 5, 7}) {
  return {.op = op,
          .what = concat(shape),
          .inputs = {{shape, fill}},
          .run = [run](const Tensors& in) { return Tensors{run(in[0])}; },
          .reference = map(f)};
}

OpCase binary_case(const char* op, Tensor (*run)(const Tensor&, const Tensor&), double (*f)(double, double),
                   const Shape& a, const Shape& b, bool exact) {
  OpCase row{.op = op,
             .what = concat(a, " and ", b),
             .inputs = {{a, Fill::normal}, {b, exact ? Fill::normal : Fill::off_zero}},
             .run = [run](const Tensors& in) { return Tensors{run(in[0], in[1])}; },
             .reference = zip(f)};
  row.exact_integers = exact;
  return row;
}

OpCase bias_case(const char* what, const Unary& f, double (*value)(double)) {
  return {.op = "bias_activation",
          .what = what,
          .inputs = {{{5, 3, 13}, Fill::normal}, {{13}, Fill::normal}},
          .run = [f](const Tensors& in) { return Tensors{bias_activation(in[0], in[1], f)}; },
          .reference =
              [value](const Tensors& in) {
                const Array x(in[0]), b(in[1]), y(in[0].shape());
                for (int64_t i = 0; i < x.elements(); ++i) y.flat(i) = value(x.flat(i) + b.flat(i % b.elements()));
                return Tensors{y.tensor};
              }};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  const auto plus = [](double a, double b) { return a + b; };
  const auto minus = [](double a, double b) { return a - b; };
  const auto times = [](double a, double b) { return a * b; };
  const auto over = [](double a, double b) { return a / b; };
  for (const auto& [a, b] : {std::pair<Shape, Shape>{{3, 5, 7}, {3, 5, 7}},
                             {{3, 5, 7}, {7}},
                             {{3, 5, 7}, {5, 7}},
                             {{3, 5, 7}, {1}},
                             {{3, 5, 7}, {}},
                             {{}, {}},
                             {{1, 1}, {1}},
                             {{700, 41}, {41}}}) {
    rows.push_back(binary_case("add", add, plus, a, b, true));
    rows.push_back(binary_case("sub", sub, minus, a, b, true));
    rows.push_back(binary_case("mul", mul, times, a, b, true));
    rows.push_back(binary_case("div", div, over, a, b, false));
  }
  // The sum over many rows of b's gradient, and its subtraction, in f32.
  for (OpCase& row : rows) row.f32_grad = 4e-6;
  rows.push_back({.op = "affine",
                  .what = "scale and shift",
                  .inputs = {{{3, 5, 7}}},
                  .run = [](const Tensors& in) { return Tensors{affine(in[0], -1.7, 0.3)}; },
                  .reference = map([](double x) { return -1.7 * x + 0.3; })});
  rows.push_back(unary_case(
      "abs", abs, [](double x) { return std::fabs(x); }, Fill::off_zero));
  rows.push_back(unary_case(
      "square", square, [](double x) { return x * x; }, Fill::normal));
  rows.push_back(unary_case(
      "sqrt", sqrt, [](double x) { return std::sqrt(x); }, Fill::positive));
  rows.push_back(unary_case(
      "exp", exp, [](double x) { return std::exp(x); }, Fill::normal));
  rows.push_back(unary_case(
      "log", log, [](double x) { return std::log(x); }, Fill::positive));
  rows.push_back(unary_case(
      "relu", relu, [](double x) { return x > 0 ? x : 0.0; }, Fill::off_zero));
  rows.push_back(unary_case("relu", relu, [](double x) { return x > 0 ? x : 0.0; }, Fill::off_zero, {65537}));
  rows.push_back(unary_case(
      "leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.1); },
      [](double x) { return std::fmax(x, 0.0) + 0.1 * std::fmin(x, 0.0); }, Fill::off_zero));
  rows.push_back(unary_case(
      "leaky_relu", [](const Tensor& x) { return leaky_relu(x, -0.7); },
      [](double x) { return std::fmax(x, 0.0) - 0.7 * std::fmin(x, 0.0); }, Fill::off_zero, {65537}));
  rows.push_back(unary_case("gelu", gelu, gelu_value, Fill::normal));
  rows.push_back(unary_case(
      "gelu_tanh", gelu_tanh,
      [](double x) {
        const double inner = std::sqrt(2 / M_PI) * (x + 0.044715 * std::pow(x, 3));
        return x / 2 * (1 + std::tanh(inner));
      },
      Fill::normal));
  rows.push_back(unary_case(
      "silu", silu, [](double x) { return x / (1 + std::exp(-x)); }, Fill::normal));
  rows.push_back(unary_case(
      "tanh", tanh, [](double x) { return std::tanh(x); }, Fill::normal));
  rows.push_back(unary_case(
      "sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, Fill::normal));
  rows.push_back(bias_case("nothing", {Unary::affine}, [](double x) { return x; }));
  rows.push_back(bias_case("gelu", {Unary::gelu}, gelu_value));
  rows.push_back(bias_case("tanh", {Unary::tanh}, [](double x) { return std::tanh(x); }));
  return rows;
}

std::vector<BadCall> refused() {
  const auto t = [](const Shape& shape, DType dtype = DType::f32) { return Tensor::zeros(shape, dtype); };
  return {{"add", "(5) does not fit onto (3,4)",
           [=] {
             add(t({3, 4}), t({5}));
           }},
          {"add", "does not fit onto (4)",
           [=] {
             add(t({4}), t({3, 4}));
           }},
          {"mul", "f32 and f64", [=] { mul(t({4}), t({4}, DType::f64)); }},
          {"sub", "one float type", [=] { sub(t({4}, DType::i64), t({4}, DType::i64)); }},
          {"div", "does not fit",
           [=] {
             div(t({2, 2}), t({3}));
           }},
          {"relu", "expected a float tensor, got (4) u8", [=] { relu(t({4}, DType::u8)); }},
          {"bias_activation", "expected bias (C)", [=] {
             bias_activation(t({2, 4}), t({2, 4}), {Unary::relu});
           }}};
}

const Family pointwise_family{cases, refused};

}  // namespace
}  // namespace engine::test
