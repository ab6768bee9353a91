#include <cmath>

#include "engine/random.h"
#include "kernels/dropout.h"
#include "kernels/philox.h"
#include "tests/op_cases.h"

namespace engine::test {
namespace {

constexpr double kLayerNormBound = 5e-7, kBatchNormBound = 6e-7, kGradBound = 6e-7;

// Rows of x normalised one by one, straight from the definition.
Tensor layer_norm_reference(const Tensor& input, const Tensor& weight, const Tensor& shift, double eps) {
  const Array x(input), w(weight), bias(shift), y(input.shape());
  const int64_t columns = w.elements();
  for (int64_t row = 0; row < x.elements(); row += columns) {
    double mean = 0, variance = 0;
    for (int64_t c = 0; c < columns; ++c) mean += x.flat(row + c) / static_cast<double>(columns);
    for (int64_t c = 0; c < columns; ++c)
      variance += std::pow(x.flat(row + c) - mean, 2) / static_cast<double>(columns);
    for (int64_t c = 0; c < columns; ++c)
      y.flat(row + c) = (x.flat(row + c) - mean) / std::sqrt(variance + eps) * w.flat(c) + bias.flat(c);
  }
  return y.tensor;
}

Tensor sum_reference(const Tensor& a, const Tensor& b) {
  const Array y(a.shape());
  for (int64_t i = 0; i < y.elements(); ++i) y.flat(i) = Array(a).flat(i) + Array(b).flat(i);
  return y.tensor;
}

OpCase layer_norm_case(const Shape& shape, double eps = 1e-5) {
  const Shape channels{shape[-1]};
  return {.op = "layer_norm",
          .what = concat(shape, " eps ", eps),
          .inputs = {{shape}, {.shape = channels, .statistics = true}, {.shape = channels, .statistics = true}},
          .run = [=](const Tensors& in) { return Tensors{layer_norm(in[0], in[1], in[2], {eps})}; },
          .reference = [=](const Tensors& in) { return Tensors{layer_norm_reference(in[0], in[1], in[2], eps)}; },
          .f32 = kLayerNormBound,
          .f32_grad = kGradBound};
}

constexpr uint64_t kSeed = 0xfedcba9876543210u;
constexpr int64_t kStep = 0x300000005;

// Without the elements that the first op of a pass drops, word by word (kernels/dropout.h).
Tensor dropped_reference(const Tensor& input, double probability) {
  const Array x(input), y(input.shape());
  for (int64_t i = 0; i < x.elements(); ++i) {
    const auto words = philox(kSeed ^ kDropoutKey, {static_cast<uint32_t>(i / 4), 5, 3, 0});
    const double u = static_cast<double>(words[static_cast<size_t>(i % 4)] >> 8) / 16777216.0;
    y.flat(i) = u < probability ? 0.0 : x.flat(i) / (1 - probability);
  }
  return y.tensor;
}

OpCase residual_case(const Shape& shape, double dropout = 0) {
  const Shape channels{shape[-1]};
  return {
      .op = "residual_layer_norm",
      .what = dropout > 0 ? concat(shape, " dropout ", dropout) : concat(shape),
      .inputs = {{shape}, {shape}, {.shape = channels, .statistics = true}, {.shape = channels, .statistics = true}},
      .run =
          [=](const Tensors& in) {
            StepRandom::current().set_seed(kSeed);
            StepRandom::current().begin_step(Tensor::from<int64_t>({kStep}).to(in[0].device()));
            return residual_layer_norm(in[0], in[1], in[2], in[3], {}, dropout);
          },
      .reference =
          [=](const Tensors& in) {
            const Tensor sum = sum_reference(dropout > 0 ? dropped_reference(in[0], dropout) : in[0], in[1]);
            return Tensors{layer_norm_reference(sum, in[2], in[3], 1e-5), sum};
          },
      .f32 = kLayerNormBound,
      .f32_grad = kGradBound};
}

// One group of one sample after the other.
Tensor group_norm_reference(const Tensors& in, int64_t groups, double eps) {
  const Array x(in[0]), w(in[1]), bias(in[2]), y(in[0].shape());
  const int64_t channels = w.elements(), places = x.elements() / (x.size(0) * channels), width = channels / groups;
  const auto count = static_cast<double>(places * width);
  for (int64_t n = 0; n < x.size(0); ++n)
    for (int64_t group = 0; group < groups; ++group) {
      const auto visit = [&](auto f) {
        for (int64_t place = 0; place < places; ++place)
          for (int64_t c = group * width; c < (group + 1) * width; ++c) f((n * places + place) * channels + c, c);
      };
      double mean = 0, variance = 0;
      visit([&](int64_t i, int64_t) { mean += x.flat(i) / count; });
      visit([&](int64_t i, int64_t) { variance += std::pow(x.flat(i) - mean, 2) / count; });
      visit([&](int64_t i, int64_t c) { y.flat(i) = (x.flat(i) - mean) / std::sqrt(variance + eps) * w(c) + bias(c); });
    }
  return y.tensor;
}

OpCase group_norm_case(const Shape& shape, int64_t groups, double eps = 1e-5) {
  const Shape channels{shape[-1]};
  return {.op = "group_norm",
          .what = concat(shape, " in ", groups, " groups, eps ", eps),
          .inputs = {{shape}, {.shape = channels, .statistics = true}, {.shape = channels, .statistics = true}},
          .run = [=](const Tensors& in) { return Tensors{group_norm(in[0], in[1], in[2], groups, eps)}; },
          .reference = [=](const Tensors& in) { return Tensors{group_norm_reference(in, groups, eps)}; }};
}

struct BatchCase {
  const char* what;
  Shape shape;
  bool training = true, residual = false, relu = false;
  BatchNorm norm{};
  // Instead of y alone: y and the running statistics after the call, which have no gradient.
  bool statistics = false;
  // Inputs are moved so that nothing comes near the kink of relu: x to a tenth of itself plus or minus 1, in turns, and
  // bias and residual to a small part of themselves. The normalised x is then near -1 or 1.
  bool off_kink = false;
};

constexpr double kSmall = 0.05;

double side(int64_t row, int64_t channel) { return (row + channel) % 2 == 0 ? 1.0 : -1.0; }

Tensor sides(const Tensor& like) {
  const Array y(like.shape());
  const int64_t channels = like.size(-1);
  for (int64_t i = 0; i < y.elements(); ++i) y.flat(i) = side(i / channels, i % channels);
  return cast(y.tensor, like.dtype());
}

Tensors run_batch_norm(const BatchCase& c, const Tensors& in) {
  Tensor x = in[0], bias = in[2], residual = c.residual ? in[5] : Tensor();
  if (c.off_kink) {
    x = add(affine(x, 0.1, 0), sides(x));
    bias = affine(bias, kSmall, 0);
    if (residual) residual = affine(residual, kSmall, 0);
  }
  const Tensor mean = in[3].clone(), variance = in[4].clone();
  const Tensor y =
      batch_norm(x, in[1], bias, mean, variance, c.training, c.norm, residual, {c.relu ? Unary::relu : Unary::affine});
  return c.statistics ? Tensors{y, mean, variance} : Tensors{y};
}

// One channel after the other.
Tensors batch_norm_reference(const BatchCase& c, const Tensors& in) {
  const Array x(in[0]), w(in[1]), bias(in[2]), y(in[0].shape());
  const Array running_mean(in[3].clone()), running_var(in[4].clone());
  const int64_t channels = w.elements(), rows = x.elements() / channels;
  const auto count = static_cast<double>(rows);
  const double part = c.off_kink ? kSmall : 1.0;
  for (int64_t k = 0; k < channels; ++k) {
    const auto value = [&](int64_t row) {
      const double original = x.flat(row * channels + k);
      return c.off_kink ? 0.1 * original + side(row, k) : original;
    };
    double mean = 0, variance = 0;
    for (int64_t row = 0; row < rows; ++row) mean += value(row) / count;
    for (int64_t row = 0; row < rows; ++row) variance += std::pow(value(row) - mean, 2) / count;
    if (c.training) {
      running_mean(k) = (1 - c.norm.momentum) * running_mean(k) + c.norm.momentum * mean;
      running_var(k) = (1 - c.norm.momentum) * running_var(k) + c.norm.momentum * variance * count / (count - 1);
    } else {
      mean = running_mean(k);
      variance = running_var(k);
    }
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t i = row * channels + k;
      double result = (value(row) - mean) / std::sqrt(variance + c.norm.eps) * w(k) + part * bias(k);
      if (c.residual) result += part * Array(in[5]).flat(i);
      y.flat(i) = c.relu && result < 0 ? 0 : result;
    }
  }
  return c.statistics ? Tensors{y.tensor, running_mean.tensor, running_var.tensor} : Tensors{y.tensor};
}

OpCase batch_norm_case(const BatchCase& c) {
  const Shape channels{c.shape[-1]};
  const bool gradients = !c.statistics && (!c.relu || c.off_kink);
  OpCase row{.op = "batch_norm",
             .what = concat(c.shape, " ", c.what),
             .inputs = {{.shape = c.shape, .differentiable = gradients},
                        {channels, Fill::positive, gradients, std::nullopt, true},
                        {channels, Fill::normal, gradients, std::nullopt, true},
                        {channels, Fill::normal, false, std::nullopt, true},
                        {channels, Fill::positive, false, std::nullopt, true}},
             .run = [c](const Tensors& in) { return run_batch_norm(c, in); },
             .reference = [c](const Tensors& in) { return batch_norm_reference(c, in); },
             .f32 = kBatchNormBound,
             .f32_grad = kGradBound,
             .has_bf16 = !c.off_kink};  // moving the inputs would round them once more
  if (c.residual) row.inputs.push_back({.shape = c.shape, .differentiable = gradients});
  return row;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  // From {37, 48} on: lengths around those at which the CUDA kernels spread a row over more threads (rows.cuh).
  for (const Shape& shape : {Shape{7},
                             {3, 5, 17},
                             {2, 3, 4, 40},
                             {5, 129},
                             {2, 517},
                             {300, 33},
                             {37, 48},
                             {9, 384},
                             {5, 1040},
                             {3, 4099},
                             {2, 8193},
                             {2, 8448}})
    rows.push_back(layer_norm_case(shape));
  for (const Shape& shape : {Shape{6, 24}, {4, 1}}) rows.push_back(layer_norm_case(shape, 0.1));
  for (const Shape& shape : {Shape{1, 9}, {3, 5, 17}, {260, 31}, {3, 1040}, {2, 8200}})
    rows.push_back(residual_case(shape));
  rows.push_back(group_norm_case({2, 3, 4, 6}, 3));
  rows.push_back(group_norm_case({3, 5, 7}, 1));
  rows.push_back(group_norm_case({2, 9, 5}, 5));
  rows.push_back(group_norm_case({4, 12}, 2));
  rows.push_back(group_norm_case({2, 2, 3, 2, 8}, 4, 0.1));
  rows.push_back(residual_case({7, 43}, 0.1));
  rows.push_back(residual_case({33, 40}, 0.5));
  for (const Shape& shape :
       {Shape{9, 1}, {1, 4, 3, 5}, {2, 9, 11, 17}, {300, 3}, {3, 2, 2, 4, 2, 33}, {131, 64}, {131, 136}}) {
    rows.push_back(batch_norm_case({.what = "training", .shape = shape}));
    rows.push_back(batch_norm_case({.what = "running statistics", .shape = shape, .statistics = true}));
    rows.push_back(batch_norm_case({.what = "inference", .shape = shape, .training = false}));
  }
  const Shape shape{2, 4, 5, 19};
  const BatchNorm other{.eps = 1e-2, .momentum = 0.7};
  rows.push_back(batch_norm_case({.what = "eps and momentum", .shape = shape, .norm = other}));
  rows.push_back(
      batch_norm_case({.what = "statistics, eps, momentum", .shape = shape, .norm = other, .statistics = true}));
  rows.push_back(batch_norm_case({.what = "inference, eps", .shape = shape, .training = false, .norm = other}));
  rows.push_back(batch_norm_case({.what = "residual", .shape = shape, .residual = true}));
  rows.push_back(batch_norm_case({.what = "inference, residual", .shape = shape, .training = false, .residual = true}));
  for (const bool training : {true, false})
    for (const bool residual : {true, false}) {
      const char* what = training ? (residual ? "residual, relu" : "relu")
                                  : (residual ? "inference, residual, relu" : "inference, relu");
      rows.push_back(
          batch_norm_case({.what = what, .shape = shape, .training = training, .residual = residual, .relu = true}));
    }
  rows.push_back(batch_norm_case({.what = "relu off its kink", .shape = shape, .relu = true, .off_kink = true}));
  rows.push_back(batch_norm_case(
      {.what = "residual, relu off its kink", .shape = shape, .residual = true, .relu = true, .off_kink = true}));
  return rows;
}

std::vector<BadCall> refused() {
  const auto t = [](const Shape& shape, DType dtype = DType::f32) { return Tensor::zeros(shape, dtype); };
  const auto batch = [=](const Shape& x, const Shape& w, const Tensor& residual = {},
                         const Unary& f = {Unary::affine}) {
    batch_norm(t(x), t(w), t({4}), t({4}), t({4}), true, {}, residual, f);
  };
  return {{"layer_norm", "expected w (4) f32 for x (2,4) f32, got (3) f32",
           [=] {
             layer_norm(t({2, 4}), t({3}), t({4}));
           }},
          {"layer_norm", "expected bias (4) f64",
           [=] {
             layer_norm(t({2, 4}, DType::f64), t({4}, DType::f64), t({4}));
           }},
          {"layer_norm", "w is missing",
           [=] {
             layer_norm(t({2, 4}), {}, t({4}));
           }},
          {"layer_norm", "with C > 0, got (2,0)",
           [=] {
             layer_norm(t({2, 0}), t({0}), t({0}));
           }},
          {"layer_norm", "expected a float tensor",
           [=] {
             layer_norm(t({2, 4}, DType::i64), t({4}), t({4}));
           }},
          {"residual_layer_norm", "expected a residual (2,4) f32 like x, got (4) f32",
           [=] {
             residual_layer_norm(t({2, 4}), t({4}), t({4}), t({4}));
           }},
          {"residual_layer_norm", "the residual is missing",
           [=] {
             residual_layer_norm(t({2, 4}), {}, t({4}), t({4}));
           }},
          {"residual_layer_norm", "at least 0 and less than 1, got 1",
           [=] {
             residual_layer_norm(t({2, 4}), t({2, 4}), t({4}), t({4}), {}, 1.0);
           }},
          {"group_norm", "x (2,6) is empty or its channels do not divide into 4 groups",
           [=] {
             group_norm(t({2, 6}), t({6}), t({6}), 4);
           }},
          {"group_norm", "do not divide into 0 groups",
           [=] {
             group_norm(t({2, 6}), t({6}), t({6}), 0);
           }},
          {"group_norm", "x (0,6) is empty",
           [=] {
             group_norm(t({0, 6}), t({6}), t({6}), 2);
           }},
          {"group_norm", "expected w (6) f32 for x (2,6) f32, got (3) f32",
           [=] {
             group_norm(t({2, 6}), t({3}), t({6}), 2);
           }},
          {"group_norm", "expected x (N, ..., C)", [=] { group_norm(t({6}), t({6}), t({6}), 2); }},
          {"batch_norm", "expected w (4) f32 for x (2,3,4) f32, got (3) f32",
           [=] {
             batch({2, 3, 4}, {3});
           }},
          {"batch_norm", "expected x (N, ..., C) with C > 0, got (4)", [=] { batch({4}, {4}); }},
          {"batch_norm", "more than one value per channel, got x (1,4)",
           [=] {
             batch({1, 4}, {4});
           }},
          {"batch_norm", "expected a residual (2,4) f32 like x, got (4) f32",
           [=] {
             batch({2, 4}, {4}, t({4}));
           }},
          {"batch_norm", "only relu or no activation", [=] {
             batch({2, 4}, {4}, {}, {Unary::tanh});
           }}};
}

const Family norm_family{cases, refused};

}  // namespace
}  // namespace engine::test
