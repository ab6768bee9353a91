#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// -log softmax of a row.
std::vector<double> surprises(const Array& x, int64_t row) {
  double sum = 0;
  for (int64_t k = 0; k < x.size(1); ++k) sum += std::exp(x(row, k) - x(row, 0));
  std::vector<double> result;
  for (int64_t c = 0; c < x.size(1); ++c) result.push_back(std::log(sum) - (x(row, c) - x(row, 0)));
  return result;
}

Tensors scalar(double value) {
  const Array y(Shape{});
  y.flat(0) = value;
  return {y.tensor};
}

Tensors cross_entropy_reference(const CrossEntropy& p, const Tensors& in) {
  const Array x(in[0]);
  const auto labels = in[1].values<int64_t>();
  const int64_t classes = x.size(1);
  const auto weight = [&](int64_t c) { return in.size() > 2 ? Array(in[2])(c) : 1.0; };
  double loss = 0, weights = 0;
  for (int64_t row = 0; row < x.size(0); ++row) {
    const int64_t label = labels[static_cast<size_t>(row)];
    if (label == p.ignore_index) continue;
    const std::vector<double> surprise = surprises(x, row);
    weights += weight(label);
    loss += (1 - p.label_smoothing) * weight(label) * surprise[static_cast<size_t>(label)];
    for (int64_t c = 0; c < classes; ++c)
      loss += p.label_smoothing / static_cast<double>(classes) * weight(c) * surprise[static_cast<size_t>(c)];
  }
  return scalar(weights > 0 ? loss / weights : 0.0);
}

OpCase cross_entropy_case(const char* what, const Shape& shape, const CrossEntropy& p, bool weights) {
  OpCase row{
      .op = "cross_entropy",
      .what = concat(what, " ", shape),
      .inputs = {{shape}, {{shape[0]}, Fill::labels, false, DType::i64, false, shape[1]}},
      .run = [=](const Tensors& in) { return Tensors{cross_entropy(in[0], in[1], p, weights ? in[2] : Tensor())}; },
      .reference = [=](const Tensors& in) { return cross_entropy_reference(p, in); }};
  if (weights) row.inputs.push_back({{shape[1]}, Fill::positive, false, std::nullopt, true});
  return row;
}

OpCase soft_case(const Shape& shape) {
  return {.op = "soft_cross_entropy",
          .what = concat(shape),
          .inputs = {{shape}, {shape, Fill::rows, false}},
          .run = [](const Tensors& in) { return Tensors{soft_cross_entropy(in[0], in[1])}; },
          .reference =
              [](const Tensors& in) {
                const Array x(in[0]), target(in[1]);
                double loss = 0;
                for (int64_t row = 0; row < x.size(0); ++row) {
                  const std::vector<double> surprise = surprises(x, row);
                  for (int64_t c = 0; c < x.size(1); ++c) loss += target(row, c) * surprise[static_cast<size_t>(c)];
                }
                return scalar(loss / static_cast<double>(x.size(0)));
              }};
}

OpCase binary_case(const Shape& shape, bool weights) {
  OpCase result{
      .op = "binary_cross_entropy",
      .what = concat(shape, weights ? " weights" : ""),
      .inputs = {{shape}, {shape, Fill::rows, false}},
      .run = [=](const Tensors& in) { return Tensors{binary_cross_entropy(in[0], in[1], weights ? in[2] : Tensor())}; },
      .reference =
          [=](const Tensors& in) {
            const Array x(in[0]), target(in[1]);
            double loss = 0;
            for (int64_t row = 0; row < x.size(0); ++row)
              for (int64_t c = 0; c < x.size(1); ++c) {
                const double p = 1 / (1 + std::exp(-x(row, c))), t = target(row, c);
                loss -= (weights ? Array(in[2])(c) : 1) * t * std::log(p) + (1 - t) * std::log(1 - p);
              }
            return scalar(loss / static_cast<double>(x.elements()));
          }};
  if (weights) result.inputs.push_back({{shape[1]}, Fill::positive, false, std::nullopt, true});
  return result;
}

OpCase regression_case(const char* op, Tensor (*run)(const Tensor&, const Tensor&), double (*loss)(double),
                       const Shape& shape) {
  return {.op = op,
          .what = concat(shape),
          .inputs = {{shape, Fill::off_zero}, {shape, Fill::off_zero}},
          // x is stretched so that no difference comes near 0, the kink of the absolute value.
          .run = [run](const Tensors& in) { return Tensors{run(affine(in[0], 30, 0), in[1])}; },
          .reference =
              [loss](const Tensors& in) {
                const Array x(in[0]), target(in[1]);
                double total = 0;
                for (int64_t i = 0; i < x.elements(); ++i) total += loss(30 * x.flat(i) - target.flat(i));
                return scalar(total / static_cast<double>(x.elements()));
              }};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  for (const Shape& shape :
       {Shape{1, 1}, {1, 7}, {5, 3}, {67, 101}, {300, 10}, {700, 16}, {9, 384}, {3, 1040}, {2, 8200}})
    rows.push_back(cross_entropy_case("plain", shape, {}, false));
  const Shape shape{37, 5};
  rows.push_back(cross_entropy_case("smoothing", shape, {.label_smoothing = 0.1}, false));
  rows.push_back(cross_entropy_case("ignoring class 2", shape, {.ignore_index = 2}, false));
  rows.push_back(cross_entropy_case("class weights", shape, {}, true));
  rows.push_back(cross_entropy_case("smoothing, weights", shape, {.label_smoothing = 0.3}, true));
  rows.push_back(cross_entropy_case("smoothing, ignoring", shape, {.label_smoothing = 0.2, .ignore_index = 0}, false));
  rows.push_back(cross_entropy_case("all three", shape, {.label_smoothing = 0.15, .ignore_index = 4}, true));
  // Many rows, and long ones, which the CUDA kernels spread over several blocks and over a whole one.
  rows.push_back(cross_entropy_case("all three", {1500, 8}, {.label_smoothing = 0.15, .ignore_index = 4}, true));
  rows.push_back(cross_entropy_case("all three", {2, 8193}, {.label_smoothing = 0.15, .ignore_index = 4}, true));
  rows.push_back(cross_entropy_case("every row ignored", {6, 1}, {.ignore_index = 0}, false));
  for (const Shape& each : {Shape{1, 1}, {4, 9}, {130, 21}, {1100, 8}, {2, 8193}}) rows.push_back(soft_case(each));
  for (const Shape& each : {Shape{1, 1}, {5, 3}, {130, 21}, {1100, 8}, {3, 9001}})
    for (const bool weights : {false, true}) rows.push_back(binary_case(each, weights));
  for (const Shape& each : {Shape{}, {3, 5, 7}, {40001}}) {
    rows.push_back(regression_case(
        "mse_loss", mse_loss, [](double d) { return d * d; }, each));
    rows.push_back(regression_case(
        "l1_loss", l1_loss, [](double d) { return std::fabs(d); }, each));
  }
  return rows;
}

std::vector<BadCall> refused() {
  const auto t = [](const Shape& shape, DType dtype = DType::f32) { return Tensor::zeros(shape, dtype); };
  const Tensor labels = Tensor::from<int64_t>({0, 4, 1}), negative = Tensor::from<int64_t>({0, -2, 1});
  return {{"cross_entropy", "label 4 in row 1 is not one of the 4 classes; expected 0 to 3, or -1",
           [=] {
             cross_entropy(t({3, 4}), labels);
           }},
          {"cross_entropy", "label -2 in row 1",
           [=] {
             cross_entropy(t({3, 4}), negative);
           }},
          {"cross_entropy", "expected labels (2) i64 for logits (2,9), got (3) i64",
           [=] {
             cross_entropy(t({2, 9}), labels);
           }},
          {"cross_entropy", "expected float logits (N, C) with C > 0, got (3,2,9)",
           [=] {
             cross_entropy(t({3, 2, 9}), labels);
           }},
          {"cross_entropy", "label smoothing must be",
           [=] {
             cross_entropy(t({3, 9}), labels, {.label_smoothing = 1.0});
           }},
          {"cross_entropy", "expected class weights (9) f32",
           [=] {
             cross_entropy(t({3, 9}), labels, {}, t({8}));
           }},
          {"soft_cross_entropy", "of one shape and float type, got (3,9) f32 and (3,8) f32",
           [=] {
             soft_cross_entropy(t({3, 9}), t({3, 8}));
           }},
          {"binary_cross_entropy", "of one shape and float type, got (3,9) f32 and (3) i64",
           [=] {
             binary_cross_entropy(t({3, 9}), labels);
           }},
          {"binary_cross_entropy", "expected positive weights (9) f32 for logits (3,9) f32, got (9) f64",
           [=] {
             binary_cross_entropy(t({3, 9}), t({3, 9}), t({9}, DType::f64));
           }},
          {"binary_cross_entropy", "the mean of nothing",
           [=] {
             binary_cross_entropy(t({0, 9}), t({0, 9}));
           }},
          {"mse_loss", "got (3) f32 and (3) f64", [=] { mse_loss(t({3}), t({3}, DType::f64)); }},
          {"mse_loss", "the mean of nothing", [=] { mse_loss(t({0}), t({0})); }},
          {"l1_loss", "got (3) f32 and (4) f32", [=] { l1_loss(t({3}), t({4})); }}};
}

const Family loss_family{cases, refused};

}  // namespace
}  // namespace engine::test
