#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// The relative L2 error allowed to f32 sums of `terms` products: 4 sqrt(terms) u, u = 2^-24.
double sum_bound(int64_t terms) { return 4 * std::sqrt(static_cast<double>(terms)) * 0x1p-24; }

struct Extent {
  Shape outer;
  int64_t m, k, n;
};

Shape with_matrix(Shape outer, int64_t rows, int64_t columns) {
  outer.push_back(rows);
  outer.push_back(columns);
  return outer;
}

// Element (i, j) of product `index` of an argument that may be stored transposed.
double element(const Array& x, int64_t index, int64_t rows, int64_t columns, int64_t i, int64_t j, bool transposed) {
  return x.flat(index * rows * columns + (transposed ? j * rows + i : i * columns + j));
}

OpCase matmul_case(const std::string& what, const Extent& e, const Matmul& p, bool shared = false) {
  const auto [outer, m, k, n] = e;
  const int64_t count = outer.elements();
  const Shape a = p.transpose_a ? with_matrix(outer, k, m) : with_matrix(outer, m, k);
  const Shape b_outer = shared ? Shape{} : outer;
  const Shape b = p.transpose_b ? with_matrix(b_outer, n, k) : with_matrix(b_outer, k, n);
  return {.op = "matmul",
          .what = concat(what, ": ", a, " by ", b),
          .inputs = {{a}, {b}},
          .run = [p](const Tensors& in) { return Tensors{matmul(in[0], in[1], p)}; },
          .reference =
              [=, rows = e.m, terms = e.k, columns = e.n, y_shape = with_matrix(outer, e.m, e.n)](const Tensors& in) {
                const Array left(in[0]), right(in[1]), y(y_shape);
                for (int64_t t = 0; t < count; ++t)
                  for (int64_t i = 0; i < rows; ++i)
                    for (int64_t j = 0; j < columns; ++j)
                      for (int64_t l = 0; l < terms; ++l)
                        y.flat((t * rows + i) * columns + j) +=
                            element(left, t, rows, terms, i, l, p.transpose_a) *
                            element(right, shared ? 0 : t, terms, columns, l, j, p.transpose_b);
                return Tensors{y.tensor};
              },
          .f32 = sum_bound(k),
          .f32_grad = sum_bound(std::max(n, shared ? count * m : m)),
          .exact_integers = true,
          .flop = 2.0 * static_cast<double>(count * m * n * k)};
}

double identity(double z) { return z; }

// x (..., C), w (K, C), and bias (K) if wanted.
OpCase linear_case(const std::string& what, const Shape& x, int64_t outputs, bool bias,
                   const Unary& f = {Unary::affine}, double (*value)(double) = identity) {
  const int64_t columns = x[-1], rows = columns == 0 ? 0 : x.elements() / columns;
  OpCase row{
      .op = "linear",
      .what = concat(what, ": ", x, " to ", outputs),
      .inputs = {{x}, {{outputs, columns}}},
      .run = [f](const Tensors& in) { return Tensors{linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), f)}; },
      .reference =
          [=](const Tensors& in) {
            Shape shape = x;
            shape[-1] = outputs;
            const Array from(in[0]), w(in[1]), y(shape);
            for (int64_t r = 0; r < rows; ++r)
              for (int64_t k = 0; k < outputs; ++k) {
                double z = in.size() > 2 ? Array(in[2])(k) : 0.0;
                for (int64_t c = 0; c < columns; ++c) z += from.flat(r * columns + c) * w(k, c);
                y.flat(r * outputs + k) = value(z);
              }
            return Tensors{y.tensor};
          },
      .f32 = sum_bound(columns + bias),
      .f32_grad = sum_bound(std::max(rows, outputs)),
      .exact_integers = is_identity(f) || f.op == Unary::relu,
      .flop = 2.0 * static_cast<double>(rows * outputs * columns)};
  if (bias) row.inputs.push_back({{outputs}});
  return row;
}

// An activation rounds once more and its derivative multiplies the gradient of its input, which f32 holds to
// sum_bound(c).
OpCase activated_case(const std::string& what, const Shape& x, int64_t outputs, const Unary& f,
                      double (*value)(double)) {
  OpCase row = linear_case(what, x, outputs, true, f, value);
  if (f.op == Unary::relu) return row;
  row.f32 += sum_bound(1);
  row.f32_grad += row.f32;
  return row;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  const Matmul plain{}, a_transposed{true, false}, b_transposed{false, true}, both{true, true};
  for (const auto& [what, p] : {std::pair{"plain", plain},
                                {"a transposed", a_transposed},
                                {"b transposed", b_transposed},
                                {"both transposed", both}}) {
    rows.push_back(matmul_case(what, {{}, 7, 5, 9}, p));
    rows.push_back(matmul_case(what, {{2, 3}, 5, 3, 4}, p));
    rows.push_back(matmul_case(std::string(what) + ", b shared", {{3, 2}, 4, 5, 3}, p, true));
    rows.push_back(matmul_case(std::string(what) + ", blocks and a rest", {{}, 67, 35, 81}, p));
    rows.push_back(matmul_case(std::string(what) + ", one row", {{2}, 1, 6, 5}, p));
    rows.push_back(matmul_case(std::string(what) + ", one column", {{2}, 6, 5, 1}, p));
    rows.push_back(matmul_case(std::string(what) + ", one term", {{}, 4, 1, 6}, p));
  }
  rows.push_back(matmul_case("many terms", {{}, 5, 3001, 4}, plain));
  rows.push_back(matmul_case("many products", {{33}, 3, 2, 5}, plain));
  rows.push_back(matmul_case("one element", {{1, 1}, 1, 1, 1}, plain));

  rows.push_back(linear_case("bias", {2, 3, 7}, 5, true));
  rows.push_back(linear_case("no bias", {6, 7}, 5, false));
  rows.push_back(linear_case("one vector", {9}, 4, true));
  rows.push_back(linear_case("one row, one output", {1, 3}, 1, true));
  rows.push_back(linear_case("blocks and a rest", {5, 13, 83}, 67, true));
  rows.push_back(linear_case("many rows", {1030, 5}, 3, true));
  rows.push_back(activated_case("relu", {3, 4, 11}, 6, {Unary::relu}, [](double z) { return z > 0 ? z : 0.0; }));
  rows.push_back(activated_case("tanh", {3, 4, 11}, 6, {Unary::tanh}, [](double z) { return std::tanh(z); }));
  rows.push_back(
      activated_case("sigmoid", {5, 11}, 6, {Unary::sigmoid}, [](double z) { return 1 / (1 + std::exp(-z)); }));
  rows.push_back(activated_case("gelu", {5, 11}, 6, {Unary::gelu},
                                [](double z) { return 0.5 * z * (1 + std::erf(z / std::sqrt(2.0))); }));
  rows.push_back(activated_case("silu", {5, 11}, 6, {Unary::silu}, [](double z) { return z / (1 + std::exp(-z)); }));
  rows.push_back(
      activated_case("scale and shift", {5, 11}, 6, {Unary::affine, 0.5, 2.0}, [](double z) { return z / 2 + 2; }));
  return rows;
}

std::vector<BadCall> refused() {
  const Tensor a = Tensor::zeros({2, 3, 4}), b = Tensor::zeros({2, 4, 5}), c = Tensor::zeros({3, 4, 5});
  const Tensor vector = Tensor::zeros({4}), doubles = Tensor::zeros({2, 4, 5}, DType::f64), w = Tensor::zeros({5, 4});
  const Tensor whole_numbers = Tensor::zeros({2, 4}, DType::i64);
  return {{"matmul", "one float type, got f32 and f64", [=] { matmul(a, doubles); }},
          {"matmul", "one float type, got i64 and i64", [=] { matmul(whole_numbers, whole_numbers); }},
          {"matmul", "reshape a vector to a matrix", [=] { matmul(a, vector); }},
          {"matmul", "K is 3 on the left and 4 on the right", [=] { matmul(a, b, {.transpose_a = true}); }},
          {"matmul", "by (2,4,5) transposed", [=] { matmul(a, b, {.transpose_b = true}); }},
          {"matmul", "the outer axes of (2,3,4) and (3,4,5) differ", [=] { matmul(a, c); }},
          {"matmul", "the outer axes of (4,5) and (2,5,4) differ",
           [=] {
             matmul(Tensor::zeros({4, 5}), Tensor::zeros({2, 5, 4}));
           }},
          {"linear", "one float type", [=] { linear(doubles, w); }},
          {"linear", "one float type", [=] { linear(a, w, Tensor::zeros({5}, DType::f64)); }},
          {"linear", "expected x (..., C) and w (K, C), got (2,4,5) and (5,4)", [=] { linear(b, w); }},
          {"linear", "expected x (..., C) and w (K, C), got (2,3,4) and (2,4,5)", [=] { linear(a, b); }},
          {"linear", "expected bias (5) for w (5,4), got (4)", [=] { linear(a, w, vector); }}};
}

const Family matmul_family{cases, refused};

}  // namespace
}  // namespace engine::test
