#include "tests/op_cases.h"

namespace engine::test {
namespace {

enum class Kind { sum, mean, max };

// x as (outer, count, inner), reduced over count.
Tensor reduce(Kind kind, const Tensor& x, int first, int last) {
  const Shape& shape = x.shape();
  const int64_t outer = shape.elements(0, first), count = shape.elements(first, last + 1);
  const int64_t inner = shape.elements(last + 1, shape.rank());
  Shape kept = shape.slice(0, first);
  for (int axis = last + 1; axis < shape.rank(); ++axis) kept.push_back(shape[axis]);
  const Array in(x.reshape({outer, count, inner})), out(kept);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      double total = kind == Kind::max ? in(o, 0, i) : 0.0;
      for (int64_t c = 0; c < count; ++c)
        total = kind == Kind::max ? std::max(total, in(o, c, i)) : total + in(o, c, i);
      out.flat(o * inner + i) = kind == Kind::mean ? total / static_cast<double>(count) : total;
    }
  return out.tensor;
}

OpCase axis_case(const char* op, Kind kind, Tensor (*run)(const Tensor&, int, int), const Shape& shape, int first,
                 int last) {
  OpCase row{.op = op,
             .what = concat(shape, " over axes ", first, " to ", last),
             .inputs = {{shape, kind == Kind::max ? Fill::distinct : Fill::normal}},
             .run = [=](const Tensors& in) { return Tensors{run(in[0], first, last)}; },
             .reference = [=](const Tensors& in) { return Tensors{reduce(kind, in[0], first, last)}; }};
  row.exact_integers = kind != Kind::mean;
  return row;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  const auto whole = [&](const char* op, Kind kind, Tensor (*run)(const Tensor&), const Shape& shape) {
    rows.push_back(
        {.op = op,
         .what = concat("all of ", shape),
         .inputs = {{shape}},
         .run = [run](const Tensors& in) { return Tensors{run(in[0])}; },
         .reference =
             [kind](const Tensors& in) { return Tensors{reduce(kind, in[0].reshape({in[0].elements()}), 0, 0)}; }});
  };
  struct Axes {
    Shape shape;
    int first, last;
  };
  for (const Axes& a : {Axes{{5, 7, 9}, 0, 0},
                        {{5, 7, 9}, 1, 1},
                        {{5, 7, 9}, 2, 2},
                        {{5, 7, 9}, 0, 1},
                        {{5, 7, 9}, 1, 2},
                        {{1, 1}, 0, 0},
                        {{700, 37}, 0, 0},
                        {{3, 1031}, 1, 1},
                        {{2, 300, 3, 4}, 1, 2}}) {
    rows.push_back(axis_case(
        "sum", Kind::sum, [](const Tensor& x, int f, int l) { return sum(x, f, l); }, a.shape, a.first, a.last));
    rows.push_back(axis_case(
        "mean", Kind::mean, [](const Tensor& x, int f, int l) { return mean(x, f, l); }, a.shape, a.first, a.last));
    if (a.shape.elements() <= 2000)  // so many distinct values that a step of the gradient check does not reorder them
      rows.push_back(axis_case("max", Kind::max, max, a.shape, a.first, a.last));
  }
  whole("sum", Kind::sum, sum, {});
  whole("sum", Kind::sum, sum, {4, 33, 61});
  whole("mean", Kind::mean, mean, {4, 33, 61});
  // Sums of normal numbers cancel: the relative error of the result is that of a sum of absolute values, times the
  // ratio of the two, about sqrt(count).
  for (OpCase& row : rows) row.f32 = 1e-5, row.bf16 = 4e-3;
  rows.push_back({.op = "argmax",
                  .what = "last axis",
                  .inputs = {{{6, 11}, Fill::distinct, false}},
                  .run = [](const Tensors& in) { return Tensors{argmax(in[0])}; },
                  .reference =
                      [](const Tensors& in) {
                        const Array x(in[0]), y(Shape{6});
                        for (int64_t r = 0; r < 6; ++r)
                          for (int64_t c = 0; c < 11; ++c)
                            if (x(r, c) > x(r, static_cast<int64_t>(y(r)))) y(r) = static_cast<double>(c);
                        return Tensors{y.tensor};
                      }});
  return rows;
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 3}), whole_numbers = Tensor::zeros({2, 3}, DType::i64),
               nothing = Tensor::zeros({2, 0});
  return {{"sum", "axis 1 comes after axis 0", [=] { sum(x, 1, 0); }},
          {"shape", "axis 2 of a tensor with 2 axes", [=] { sum(x, 2, 2); }},
          {"sum", "expected a float tensor", [=] { sum(whole_numbers, 0, 0); }},
          {"mean", "nothing to reduce", [=] { mean(nothing, 1, 1); }},
          {"max", "nothing to reduce", [=] { max(nothing, 1, 1); }},
          {"argmax", "expected a float tensor", [=] { argmax(whole_numbers); }}};
}

const Family reduce_family{cases, refused};

}  // namespace
}  // namespace engine::test
