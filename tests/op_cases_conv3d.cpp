#include <array>
#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// The relative L2 error allowed to f32 sums of `terms` products: 4 sqrt(terms) u, u = 2^-24.
double sum_bound(int64_t terms) { return 4 * std::sqrt(static_cast<double>(terms)) * 0x1p-24; }

struct Axis {
  int64_t stride, pad, dilation;
};
std::array<Axis, 3> axes_of(const Conv3d& p) {
  return {Axis{p.stride_t, p.pad_t, p.dilation_t}, Axis{p.stride_h, p.pad_h, p.dilation_h},
          Axis{p.stride_w, p.pad_w, p.dilation_w}};
}

Shape output_of(const Shape& x, const Shape& w, const Conv3d& p) {
  Shape y = {x[0], 0, 0, 0, w[0]};
  for (int i = 1; i < 4; ++i) {
    const Axis axis = axes_of(p)[static_cast<size_t>(i - 1)];
    y[i] = (x[i] + 2 * axis.pad - axis.dilation * (w[i] - 1) - 1) / axis.stride + 1;
  }
  return y;
}

// The definition in kernels/conv.h.
Tensor naive_conv3d(const Array& x, const Array& w, const Tensor& bias, const Conv3d& p, bool relu) {
  const Array y(output_of(x.tensor.shape(), w.tensor.shape(), p));
  const auto voxel = [&](int64_t n, int64_t t, int64_t h, int64_t v, int64_t c) {
    const bool inside = t >= 0 && t < x.size(1) && h >= 0 && h < x.size(2) && v >= 0 && v < x.size(3);
    return inside ? x(n, t, h, v, c) : 0.0;
  };
  const auto output = [&](int64_t n, int64_t o, int64_t i, int64_t j, int64_t k) {
    const int64_t group = k / (w.size(0) / p.groups);
    double sum = bias ? Array(bias)(k) : 0.0;
    for (int64_t u = 0; u < w.size(1); ++u)
      for (int64_t r = 0; r < w.size(2); ++r)
        for (int64_t s = 0; s < w.size(3); ++s)
          for (int64_t c = 0; c < w.size(4); ++c)
            sum += w(k, u, r, s, c) * voxel(n, o * p.stride_t + u * p.dilation_t - p.pad_t,
                                            i * p.stride_h + r * p.dilation_h - p.pad_h,
                                            j * p.stride_w + s * p.dilation_w - p.pad_w, group * w.size(4) + c);
    return relu && sum < 0 ? 0.0 : sum;
  };
  for (int64_t n = 0; n < y.size(0); ++n)
    for (int64_t o = 0; o < y.size(1); ++o)
      for (int64_t i = 0; i < y.size(2); ++i)
        for (int64_t j = 0; j < y.size(3); ++j)
          for (int64_t k = 0; k < y.size(4); ++k) y(n, o, i, j, k) = output(n, o, i, j, k);
  return y.tensor;
}

OpCase conv_case(const std::string& what, const Shape& x, const Shape& w, const Conv3d& p, bool bias,
                 bool relu = false) {
  const Unary f{relu ? Unary::relu : Unary::affine};
  const Shape y = output_of(x, w, p);
  const int64_t terms = w.elements(1, 5), terms_of_dx = w[0] / p.groups * w.elements(1, 4);
  OpCase row{
      .op = "conv3d",
      .what = concat(what, ": ", x, " by ", w),
      .inputs = {{x}, {w}},
      .run = [=](const Tensors& in) { return Tensors{conv3d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), p, f)}; },
      .reference =
          [=](const Tensors& in) {
            const Tensor b = in.size() > 2 ? in[2] : Tensor();
            return Tensors{naive_conv3d(Array(in[0]), Array(in[1]), b, p, relu)};
          },
      .f32 = sum_bound(terms + 1),
      .f32_grad = sum_bound(std::max(terms_of_dx, y.elements(0, 4))),
      .exact_integers = true,
      .flop = 2.0 * static_cast<double>(y.elements() * terms)};
  if (bias) row.inputs.push_back({{w[0]}});
  return row;
}

std::vector<OpCase> cases() {
  const Conv3d pad_1{.pad_t = 1, .pad_h = 1, .pad_w = 1};
  std::vector<OpCase> rows = {
      conv_case("no padding, no bias", {2, 3, 4, 3, 2}, {3, 2, 3, 2, 2}, {}, false),
      conv_case("padding 1, one clip", {1, 4, 5, 3, 3}, {4, 3, 3, 3, 3}, pad_1, true),
      conv_case("stride 2", {1, 5, 6, 5, 3}, {5, 3, 3, 3, 3},
                {.stride_t = 2, .stride_h = 2, .stride_w = 2, .pad_t = 1, .pad_h = 1, .pad_w = 1}, true),
      conv_case("dilation 2", {1, 5, 6, 5, 2}, {3, 3, 3, 3, 2},
                {.pad_t = 2, .pad_h = 2, .pad_w = 2, .dilation_t = 2, .dilation_h = 2, .dilation_w = 2}, true),
      conv_case("everything differs between the axes", {2, 4, 7, 6, 2}, {3, 2, 1, 4, 2},
                {.stride_t = 2, .stride_w = 3, .pad_t = 1, .pad_w = 2, .dilation_t = 2, .dilation_h = 3}, true),
      conv_case("two groups", {1, 3, 4, 5, 6}, {4, 3, 3, 3, 3}, {.pad_t = 1, .pad_h = 1, .pad_w = 1, .groups = 2},
                true),
      conv_case("depthwise", {1, 3, 4, 4, 5}, {5, 3, 3, 3, 1}, {.pad_t = 1, .pad_h = 1, .pad_w = 1, .groups = 5},
                false),
      conv_case("each frame for itself", {2, 3, 5, 4, 3}, {4, 1, 3, 3, 3}, {.pad_h = 1, .pad_w = 1}, true),
      conv_case("each frame for itself, every other pixel", {2, 3, 5, 4, 3}, {6, 1, 3, 3, 3},
                {.stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1}, true),
      conv_case("along time", {2, 5, 3, 4, 4}, {3, 3, 1, 1, 4}, {.pad_t = 1}, true),
      conv_case("along time, every other frame, dilated", {2, 6, 3, 2, 4}, {5, 3, 1, 1, 4},
                {.stride_t = 2, .pad_t = 2, .dilation_t = 2}, true),
      conv_case("along time, a margin of zeros", {1, 3, 2, 2, 3}, {2, 2, 1, 1, 3}, {.pad_h = 1}, false),
      conv_case("1x1x1", {2, 2, 3, 2, 17}, {19, 1, 1, 1, 17}, {}, true),
      conv_case("1x1x1, stride 2", {1, 3, 4, 5, 6}, {7, 1, 1, 1, 6}, {.stride_t = 2, .stride_h = 2, .stride_w = 2},
                false),
      conv_case("every other frame alone", {1, 5, 3, 2, 3}, {4, 1, 1, 1, 3}, {.stride_t = 2}, false),
      conv_case("clips of one pixel", {2, 1, 1, 1, 4}, {3, 3, 3, 3, 4}, pad_1, true),
      conv_case("blocks of channels and a rest", {1, 2, 3, 3, 17}, {33, 2, 3, 3, 17}, pad_1, true),
      conv_case("first layer", {1, 3, 5, 6, 3}, {18, 3, 3, 3, 3}, pad_1, true),
      conv_case("relu, signs as they come", {1, 2, 3, 3, 2}, {2, 2, 2, 2, 2}, {}, true, true),
      conv_case("relu without bias", {1, 2, 3, 3, 2}, {2, 2, 2, 2, 2}, {}, false, true)};
  OpCase weights_only = conv_case("pixels need no gradient", {1, 3, 4, 4, 3}, {4, 3, 3, 3, 3}, pad_1, true);
  weights_only.inputs[0].differentiable = false;
  rows.push_back(weights_only);
  OpCase pixels_only = conv_case("frozen weights", {1, 3, 4, 4, 3}, {4, 3, 3, 3, 3}, pad_1, true);
  pixels_only.inputs[1].differentiable = pixels_only.inputs[2].differentiable = false;
  rows.push_back(pixels_only);
  return rows;
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 3, 5, 6, 4}), w = Tensor::zeros({8, 3, 3, 3, 4}), none;
  const auto run = [=](const Conv3d& p) { return [=] { conv3d(x, w, none, p); }; };
  return {{"conv3d", "one float type, got x f32 and w f64",
           [=] {
             conv3d(x, Tensor::zeros({8, 3, 3, 3, 4}, DType::f64), none, {});
           }},
          {"conv3d", "one float type", [=] { conv3d(x, w, Tensor::zeros({8}, DType::bf16), {}); }},
          {"conv3d", "expected x (N, T, H, W, C)",
           [=] {
             conv3d(Tensor::zeros({3, 5, 6, 4}), w, none, {});
           }},
          {"conv3d", "does not fit x (2,3,5,6,4)",
           [=] {
             conv3d(x, Tensor::zeros({8, 3, 3, 3, 3}), none, {});
           }},
          {"conv3d", "K a multiple of the groups",
           [=] {
             conv3d(x, Tensor::zeros({7, 3, 3, 3, 2}), none, {.groups = 2});
           }},
          {"conv3d", "must be at least 1, got stride 0x1x1", run({.stride_t = 0})},
          {"conv3d", "dilation 1x1x0", run({.dilation_w = 0})},
          {"conv3d", "groups 0", run({.groups = 0})},
          {"conv3d", "must not be negative, got 0x-1x0", run({.pad_h = -1})},
          {"conv3d", "is larger than the padded clips", run({.dilation_t = 2})},
          {"conv3d", "empty clips or weights",
           [=] {
             conv3d(Tensor::zeros({2, 0, 5, 6, 4}), w, none, {});
           }},
          {"conv3d", "expected bias (8) for w (8,3,3,3,4), got (4)", [=] { conv3d(x, w, Tensor::zeros({4}), {}); }},
          {"conv3d", "the activation must be none or relu", [=] { conv3d(x, w, none, {}, {Unary::tanh}); }}};
}

const Family conv3d_family{cases, refused};

}  // namespace
}  // namespace engine::test
