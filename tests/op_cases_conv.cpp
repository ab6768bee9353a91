#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// The relative L2 error allowed to f32 sums of `terms` products: 4 sqrt(terms) u, u = 2^-24.
double sum_bound(int64_t terms) { return 4 * std::sqrt(static_cast<double>(terms)) * 0x1p-24; }

// The definition in kernels/conv.h.
Tensor naive_conv2d(const Array& x, const Array& w, const Tensor& bias, const Conv2d& p, bool relu) {
  const int64_t rows = (x.size(1) + 2 * p.pad_h - p.dilation_h * (w.size(1) - 1) - 1) / p.stride_h + 1;
  const int64_t columns = (x.size(2) + 2 * p.pad_w - p.dilation_w * (w.size(2) - 1) - 1) / p.stride_w + 1;
  const Array y(Shape{x.size(0), rows, columns, w.size(0)});
  const auto pixel = [&](int64_t n, int64_t h, int64_t v, int64_t c) {
    return h < 0 || h >= x.size(1) || v < 0 || v >= x.size(2) ? 0.0 : x(n, h, v, c);
  };
  const auto output = [&](int64_t n, int64_t i, int64_t j, int64_t k) {
    const int64_t group = k / (w.size(0) / p.groups);
    double sum = bias ? Array(bias)(k) : 0.0;
    for (int64_t r = 0; r < w.size(1); ++r)
      for (int64_t s = 0; s < w.size(2); ++s)
        for (int64_t c = 0; c < w.size(3); ++c)
          sum += w(k, r, s, c) * pixel(n, i * p.stride_h + r * p.dilation_h - p.pad_h,
                                       j * p.stride_w + s * p.dilation_w - p.pad_w, group * w.size(3) + c);
    return relu && sum < 0 ? 0.0 : sum;
  };
  for (int64_t n = 0; n < y.size(0); ++n)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t k = 0; k < y.size(3); ++k) y(n, i, j, k) = output(n, i, j, k);
  return y.tensor;
}

void set_bounds(OpCase& row, const Shape& x, const Shape& w, const Conv2d& p) {
  const int64_t outputs = conv_shape(over_time(p), x, w).elements(1, 3);
  const int64_t terms = w.elements(1, 4), terms_of_dx = w[0] / p.groups * w[1] * w[2];
  row.f32 = sum_bound(terms + 1);
  row.f32_grad = sum_bound(std::max(terms_of_dx, x[0] * outputs));
  row.exact_integers = true;
  row.flop = 2.0 * static_cast<double>(x[0] * outputs * w[0] * terms);
}

OpCase conv_case(const std::string& what, const Shape& x, const Shape& w, const Conv2d& p, bool bias,
                 bool relu = false) {
  const Unary f{relu ? Unary::relu : Unary::affine};
  OpCase row{
      .op = "conv2d",
      .what = concat(what, ": ", x, " by ", w),
      .inputs = {{x}, {w}},
      .run = [=](const Tensors& in) { return Tensors{conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), p, f)}; },
      .reference =
          [=](const Tensors& in) {
            const Tensor b = in.size() > 2 ? in[2] : Tensor();
            return Tensors{naive_conv2d(Array(in[0]), Array(in[1]), b, p, relu)};
          }};
  set_bounds(row, x, w, p);
  if (bias) row.inputs.push_back({{w[0]}});
  return row;
}

// ReLU with every sum well away from its kink: pixels are at least 0.5, the weights and the bias of the first half of
// the channels at least 0.5, those of the second half at most -0.5. So every sum is at least 0.5 in size, and a step of
// the gradient check moves it by some hundredths.
OpCase split_relu_case(const std::string& what, const Shape& x, const Shape& half_w, const Conv2d& p) {
  const auto both_signs = [](const Tensor& plus, const Tensor& minus) {
    return concat({plus, affine(minus, -1, 0)}, 0);
  };
  Shape w = half_w;
  w[0] *= 2;
  const Shape half_bias{half_w[0]};
  OpCase row{.op = "conv2d",
             .what = concat(what, ": ", x, " by ", w),
             .inputs = {{x, Fill::positive},
                        {half_w, Fill::positive},
                        {half_w, Fill::positive},
                        {half_bias, Fill::positive},
                        {half_bias, Fill::positive}},
             .run =
                 [=](const Tensors& in) {
                   return Tensors{conv2d(in[0], both_signs(in[1], in[2]), both_signs(in[3], in[4]), p, {Unary::relu})};
                 },
             .reference =
                 [=](const Tensors& in) {
                   const Array weights(w), bias(Shape{w[0]});
                   for (int64_t i = 0; i < half_w.elements(); ++i) {
                     weights.flat(i) = Array(in[1]).flat(i);
                     weights.flat(half_w.elements() + i) = -Array(in[2]).flat(i);
                   }
                   for (int64_t i = 0; i < half_w[0]; ++i) {
                     bias.flat(i) = Array(in[3]).flat(i);
                     bias.flat(half_w[0] + i) = -Array(in[4]).flat(i);
                   }
                   return Tensors{naive_conv2d(Array(in[0]), weights, bias.tensor, p, true)};
                 }};
  set_bounds(row, x, w, p);
  return row;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> rows;
  const Conv2d pad_1{.pad_h = 1, .pad_w = 1};
  rows.push_back(conv_case("no padding, no bias", {2, 4, 5, 2}, {3, 3, 2, 2}, {}, false));
  rows.push_back(conv_case("padding 1, one image", {1, 5, 7, 3}, {4, 3, 3, 3}, pad_1, true));
  rows.push_back(
      conv_case("stride 2", {2, 9, 8, 3}, {5, 3, 3, 3}, {.stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1}, true));
  rows.push_back(
      conv_case("stride 2 that leaves a rest", {1, 6, 8, 2}, {3, 3, 3, 2}, {.stride_h = 2, .stride_w = 2}, false));
  rows.push_back(conv_case("dilation 2", {1, 9, 8, 2}, {3, 3, 3, 2},
                           {.pad_h = 2, .pad_w = 2, .dilation_h = 2, .dilation_w = 2}, true));
  rows.push_back(conv_case("stride 2 and dilation 2", {1, 9, 9, 2}, {3, 3, 3, 2},
                           {.stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1, .dilation_h = 2, .dilation_w = 2},
                           false));
  rows.push_back(conv_case("everything differs between the axes", {2, 7, 10, 3}, {4, 1, 4, 3},
                           {.stride_w = 3, .pad_w = 2, .dilation_h = 3}, true));
  rows.push_back(conv_case("tall kernel", {1, 8, 3, 2}, {3, 5, 1, 2}, {.stride_h = 2, .pad_h = 2}, true));
  rows.push_back(conv_case("two groups", {2, 5, 5, 6}, {8, 3, 3, 3}, {.pad_h = 1, .pad_w = 1, .groups = 2}, true));
  rows.push_back(
      conv_case("two groups of a block", {4, 4, 4, 32}, {32, 3, 3, 16}, {.pad_h = 1, .pad_w = 1, .groups = 2}, false));
  rows.push_back(conv_case("depthwise", {1, 6, 7, 5}, {5, 3, 3, 1}, {.pad_h = 1, .pad_w = 1, .groups = 5}, true));
  rows.push_back(conv_case("depthwise, two outputs each", {2, 5, 4, 3}, {6, 3, 3, 1}, {.groups = 3}, true));
  rows.push_back(
      conv_case("depthwise, blocks", {1, 5, 6, 72}, {72, 3, 3, 1}, {.pad_h = 1, .pad_w = 1, .groups = 72}, true));
  rows.push_back(conv_case("1x1", {2, 4, 3, 17}, {19, 1, 1, 17}, {}, true));
  rows.push_back(conv_case("1x1, stride 2", {1, 5, 6, 16}, {33, 1, 1, 16}, {.stride_h = 2, .stride_w = 2}, false));
  rows.push_back(conv_case("images of one pixel", {3, 1, 1, 4}, {2, 3, 3, 4}, pad_1, true));
  rows.push_back(conv_case("one channel to one", {1, 4, 4, 1}, {1, 2, 2, 1}, {}, true));
  rows.push_back(conv_case("blocks of channels and a rest", {2, 6, 6, 33}, {35, 3, 3, 33}, pad_1, true));
  rows.push_back(conv_case("first layer", {1, 8, 8, 3}, {80, 3, 3, 3}, pad_1, true));
  rows.push_back(conv_case("7x7 stem", {1, 11, 10, 3}, {16, 7, 7, 3},
                           {.stride_h = 2, .stride_w = 2, .pad_h = 3, .pad_w = 3}, false));
  rows.push_back(conv_case("many terms", {2, 4, 5, 128}, {24, 3, 3, 128}, pad_1, false));
  rows.push_back(conv_case("relu, signs as they come", {1, 4, 5, 2}, {3, 3, 3, 2}, {}, true, true));
  rows.push_back(split_relu_case("relu, sums of both signs", {2, 5, 6, 3}, {3, 3, 3, 3}, pad_1));
  rows.push_back(
      split_relu_case("relu, blocks", {3, 7, 5, 20}, {12, 3, 3, 20}, {.stride_h = 2, .pad_h = 1, .pad_w = 1}));
  OpCase weights_only = conv_case("pixels need no gradient", {2, 5, 6, 3}, {4, 3, 3, 3}, pad_1, true);
  weights_only.inputs[0].differentiable = false;
  rows.push_back(weights_only);
  OpCase pixels_only = conv_case("frozen weights", {2, 5, 6, 3}, {4, 3, 3, 3}, pad_1, true);
  pixels_only.inputs[1].differentiable = pixels_only.inputs[2].differentiable = false;
  rows.push_back(pixels_only);
  return rows;
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 5, 6, 4}), w = Tensor::zeros({8, 3, 3, 4}), none;
  const auto run = [=](const Conv2d& p) { return [=] { conv2d(x, w, none, p); }; };
  return {{"conv2d", "one float type, got x f32 and w f64",
           [=] {
             conv2d(x, Tensor::zeros({8, 3, 3, 4}, DType::f64), none, {});
           }},
          {"conv2d", "one float type", [=] { conv2d(x, w, Tensor::zeros({8}, DType::bf16), {}); }},
          {"conv2d", "expected x (N, H, W, C)",
           [=] {
             conv2d(Tensor::zeros({5, 6, 4}), w, none, {});
           }},
          {"conv2d", "does not fit x (2,5,6,4)",
           [=] {
             conv2d(x, Tensor::zeros({8, 3, 3, 3}), none, {});
           }},
          {"conv2d", "w (8,3,3,4) with 2 groups does not fit", run({.groups = 2})},
          {"conv2d", "K a multiple of the groups",
           [=] {
             conv2d(x, Tensor::zeros({7, 3, 3, 2}), none, {.groups = 2});
           }},
          {"conv2d", "must be at least 1, got stride 0x1", run({.stride_h = 0})},
          {"conv2d", "dilation 1x0", run({.dilation_w = 0})},
          {"conv2d", "groups 0", run({.groups = 0})},
          {"conv2d", "must not be negative, got -1x0", run({.pad_h = -1})},
          {"conv2d", "is larger than the padded images", run({.dilation_h = 3})},
          {"conv2d", "empty images or weights",
           [=] {
             conv2d(Tensor::zeros({2, 0, 6, 4}), w, none, {});
           }},
          {"conv2d", "expected bias (8) for w (8,3,3,4), got (4)", [=] { conv2d(x, w, Tensor::zeros({4}), {}); }},
          {"conv2d", "the activation must be none or relu", [=] { conv2d(x, w, none, {}, {Unary::tanh}); }}};
}

const Family conv_family{cases, refused};

}  // namespace
}  // namespace engine::test
