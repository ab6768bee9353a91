#include "tests/op_cases.h"

namespace engine::test {
namespace {

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  rows.push_back({.op = "permute",
                  .what = "(3,4,5,2) to axes 2,0,3,1",
                  .inputs = {{{3, 4, 5, 2}}},
                  .run =
                      [](const Tensors& in) {
                        return Tensors{permute(in[0], {2, 0, 3, 1})};
                      },
                  .reference =
                      [](const Tensors& in) {
                        const Array x(in[0]), y(Shape{5, 3, 2, 4});
                        for (int64_t a = 0; a < 3; ++a)
                          for (int64_t b = 0; b < 4; ++b)
                            for (int64_t c = 0; c < 5; ++c)
                              for (int64_t d = 0; d < 2; ++d) y(c, a, d, b) = x(a, b, c, d);
                        return Tensors{y.tensor};
                      }});
  rows.push_back({.op = "permute",
                  .what = "transpose of (130,190)",
                  .inputs = {{{130, 190}}},
                  .run =
                      [](const Tensors& in) {
                        return Tensors{permute(in[0], {-1, 0})};
                      },
                  .reference =
                      [](const Tensors& in) {
                        const Array x(in[0]), y(Shape{190, 130});
                        for (int64_t a = 0; a < 130; ++a)
                          for (int64_t b = 0; b < 190; ++b) y(b, a) = x(a, b);
                        return Tensors{y.tensor};
                      }});
  rows.push_back({.op = "concat",
                  .what = "three parts along the middle axis",
                  .inputs = {{{2, 3, 4}}, {{2, 1, 4}}, {{2, 5, 4}}},
                  .run = [](const Tensors& in) { return Tensors{concat(in, 1)}; },
                  .reference =
                      [](const Tensors& in) {
                        const Array y(Shape{2, 9, 4});
                        int64_t start = 0;
                        for (const Tensor& part : in) {
                          const Array x(part);
                          for (int64_t a = 0; a < 2; ++a)
                            for (int64_t b = 0; b < x.size(1); ++b)
                              for (int64_t c = 0; c < 4; ++c) y(a, start + b, c) = x(a, b, c);
                          start += x.size(1);
                        }
                        return Tensors{y.tensor};
                      }});
  rows.push_back({.op = "concat",
                  .what = "the same tensor twice along the first axis",
                  .inputs = {{{3, 2}}},
                  .run =
                      [](const Tensors& in) {
                        return Tensors{concat({in[0], in[0]}, 0)};
                      },
                  .reference =
                      [](const Tensors& in) {
                        const Array x(in[0]), y(Shape{6, 2});
                        for (int64_t a = 0; a < 6; ++a)
                          for (int64_t b = 0; b < 2; ++b) y(a, b) = x(a % 3, b);
                        return Tensors{y.tensor};
                      }});
  // The result of a cast to f32 is compared with the f64 input rounded by the compiler's own conversion.
  rows.push_back({.op = "cast",
                  .what = "to f64",
                  .inputs = {{{7, 9}}},
                  .run = [](const Tensors& in) { return Tensors{cast(in[0], DType::f64)}; },
                  .reference = [](const Tensors& in) { return Tensors{in[0].clone()}; }});
  for (OpCase& row : rows) row.exact_integers = true, row.f32 = row.f32_grad = row.bf16 = 0.0, row.bf16_grad = 4e-3;
  rows[3].f32_grad = 1e-7;  // two gradients are added
  return rows;
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 3}), y = Tensor::zeros({2, 4});
  return {{"permute", "1 axes given for (2,3)", [=] { permute(x, {0}); }},
          {"permute", "axis 0 given twice",
           [=] {
             permute(x, {0, 0});
           }},
          {"concat", "(2,4) f32 does not join (2,3)",
           [=] {
             concat({x, y}, 0);
           }},
          {"concat", "no tensors given", [=] { concat({}, 0); }},
          {"reshape", "has 6 elements", [=] { x.reshape({4}); }},
          {"reshape", "does not divide",
           [=] {
             x.reshape({4, -1});
           }},
          {"slice", "rows 1 to 3 of (2,3)", [=] { x.slice(1, 3); }}};
}

const Family move_family{cases, refused};

}  // namespace
}  // namespace engine::test
