#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// p[c] = e^d[c] / sum over k of e^d[k], d[c] = x[c] - x[0]
Tensors softmax_reference(const Tensors& in, bool log) {
  const Array x(in[0]), y(in[0].shape());
  const int64_t columns = in[0].size(-1);
  for (int64_t row = 0; row < x.elements(); row += columns) {
    const auto d = [&](int64_t c) { return x.flat(row + c) - x.flat(row); };
    double sum = 0;
    for (int64_t c = 0; c < columns; ++c) sum += std::exp(d(c));
    for (int64_t c = 0; c < columns; ++c) y.flat(row + c) = log ? d(c) - std::log(sum) : std::exp(d(c)) / sum;
  }
  return {y.tensor};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  // From 48 columns on: lengths around those at which the CUDA kernels spread a row over more threads (rows.cuh).
  for (const Shape& shape : {Shape{7},
                             {3, 1},
                             {2, 3, 5},
                             {1, 16},
                             {65, 33},
                             {2, 517},
                             {300, 17},
                             {37, 48},
                             {9, 384},
                             {5, 1040},
                             {3, 2049},
                             {2, 8193},
                             {2, 8448}}) {
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
