#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// p[c] = 1 / sum over k of e^(x[k] - x[c])
Tensors softmax_reference(const Tensors& in, bool log) {
  const Array x(in[0]), y(in[0].shape());
  const int64_t columns = in[0].size(-1);
  for (int64_t row = 0; row < x.elements(); row += columns)
    for (int64_t c = 0; c < columns; ++c) {
      double sum = 0;
      for (int64_t k = 0; k < columns; ++k) sum += std::exp(x.flat(row + k) - x.flat(row + c));
      y.flat(row + c) = log ? -std::log(sum) : 1 / sum;
    }
  return {y.tensor};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  for (const Shape& shape : {Shape{7}, {3, 1}, {2, 3, 5}, {1, 16}, {65, 33}, {2, 517}, {300, 17}}) {
    rows.push_back({.op = "softmax",
                    .what = concat(shape),
                    .inputs = {{shape}},
                    .run = [](const Tensors& in) { return Tensors{softmax(in[0])}; },
                    .reference = [](const Tensors& in) { return softmax_reference(in, false); }});
    rows.push_back({.op = "log_softmax",
                    .what = concat(shape),
                    .inputs = {{shape}},
                    .run = [](const Tensors& in) { return Tensors{log_softmax(in[0])}; },
                    .reference = [](const Tensors& in) { return softmax_reference(in, true); }});
  }
  return rows;
}

std::vector<BadCall> refused() {
  return {{"softmax", "expected a float tensor (..., C) with C > 0, got (2,0)",
           [] {
             softmax(Tensor::zeros({2, 0}));
           }},
          {"softmax", "got (3) i64", [] { softmax(Tensor::zeros({3}, DType::i64)); }},
          {"log_softmax", "got () f32", [] { log_softmax(Tensor::zeros({})); }}};
}

const Family softmax_family{cases, refused};

}  // namespace
}  // namespace engine::test
