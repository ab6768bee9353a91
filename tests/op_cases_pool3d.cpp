#include <array>
#include <cmath>
#include <limits>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

struct Axis {
  int64_t kernel, stride, pad;
};
std::array<Axis, 3> axes_of(const Pool3d& p) {
  return {Axis{p.kernel_t, p.stride_t, p.pad_t}, Axis{p.kernel_h, p.stride_h, p.pad_h},
          Axis{p.kernel_w, p.stride_w, p.pad_w}};
}

double naive_window(const Array& x, const Pool3d& p, bool largest, int64_t n, const std::array<int64_t, 3>& window,
                    int64_t c) {
  const auto axes = axes_of(p);
  std::array<int64_t, 3> from{};
  for (size_t i = 0; i < 3; ++i) from[i] = window[i] * axes[i].stride - axes[i].pad;
  double sum = 0, best = -std::numeric_limits<double>::infinity();
  int64_t count = 0;
  for (int64_t t = from[0]; t < from[0] + p.kernel_t; ++t)
    for (int64_t h = from[1]; h < from[1] + p.kernel_h; ++h)
      for (int64_t w = from[2]; w < from[2] + p.kernel_w; ++w) {
        if (t < 0 || t >= x.size(1) || h < 0 || h >= x.size(2) || w < 0 || w >= x.size(3)) continue;
        sum += x(n, t, h, w, c);
        best = std::max(best, x(n, t, h, w, c));
        ++count;
      }
  const int64_t divisor = p.count_padding ? p.kernel_t * p.kernel_h * p.kernel_w : count;
  return largest ? best : sum / static_cast<double>(divisor);
}

Tensor naive_pool3d(const Array& x, const Pool3d& p, bool largest) {
  Shape shape = {x.size(0), 0, 0, 0, x.size(4)};
  for (int i = 1; i < 4; ++i) {
    const auto [kernel, stride, pad] = axes_of(p)[static_cast<size_t>(i - 1)];
    shape[i] = (x.size(i) + 2 * pad - kernel) / stride + 1;
  }
  const Array y(shape);
  for (int64_t n = 0; n < y.size(0); ++n)
    for (int64_t o = 0; o < y.size(1); ++o)
      for (int64_t i = 0; i < y.size(2); ++i)
        for (int64_t j = 0; j < y.size(3); ++j)
          for (int64_t c = 0; c < y.size(4); ++c) y(n, o, i, j, c) = naive_window(x, p, largest, n, {o, i, j}, c);
  return y.tensor;
}

// At most 900 elements: the distinct values of a window are then further apart than a step of the gradient check.
OpCase max_case(const std::string& what, const Shape& x, const Pool3d& p) {
  const bool overlap = p.stride_t < p.kernel_t || p.stride_h < p.kernel_h || p.stride_w < p.kernel_w;
  return {.op = "max_pool3d",
          .what = concat(what, ": ", x),
          .inputs = {{x, Fill::distinct}},
          .run = [p](const Tensors& in) { return Tensors{max_pool3d(in[0], p)}; },
          .reference = [p](const Tensors& in) { return Tensors{naive_pool3d(Array(in[0]), p, true)}; },
          .f32 = 0.0,
          .f32_grad = overlap ? 1e-6 : 0.0,  // where windows overlap, gradients are added
          .bf16 = 0.0,
          .bf16_grad = overlap ? 4e-3 : 0.0,
          .exact_integers = true};
}

OpCase average_case(const std::string& what, const Shape& x, const Pool3d& p) {
  const int64_t count = p.kernel_t * p.kernel_h * p.kernel_w;
  const bool exact = p.count_padding && (count & (count - 1)) == 0;  // sums are divided by a power of two
  const double bound = 4 * std::sqrt(static_cast<double>(count + 1)) * 0x1p-24;
  return {.op = "average_pool3d",
          .what = concat(what, ": ", x),
          .inputs = {{x}},
          .run = [p](const Tensors& in) { return Tensors{average_pool3d(in[0], p)}; },
          .reference = [p](const Tensors& in) { return Tensors{naive_pool3d(Array(in[0]), p, false)}; },
          .f32 = bound,
          .f32_grad = bound,
          .exact_integers = exact};
}

std::vector<OpCase> cases() {
  const Pool3d halves{}, frames{.kernel_t = 1, .stride_t = 1};
  const Pool3d threes{.kernel_t = 3, .kernel_h = 3, .kernel_w = 3, .pad_t = 1, .pad_h = 1, .pad_w = 1};
  const Pool3d every{.kernel_h = 1, .kernel_w = 3, .stride_t = 1, .stride_h = 1, .stride_w = 1};
  const Pool3d uneven{
      .kernel_t = 3, .kernel_h = 1, .kernel_w = 4, .stride_t = 1, .stride_h = 3, .pad_t = 1, .pad_w = 2};
  const Pool3d gaps{.stride_t = 3, .stride_h = 3, .stride_w = 3};
  const Pool3d whole{.kernel_t = 2, .kernel_h = 4, .kernel_w = 3, .stride_t = 2, .stride_h = 4, .stride_w = 3};
  struct Window {
    const char* what;
    Shape x;
    Pool3d p;
  };
  const Window windows[] = {{"2x2x2", {2, 4, 4, 6, 3}, halves},
                            {"2x2x2, odd sizes", {1, 3, 5, 7, 5}, halves},
                            {"2x2x2, blocks of channels and a rest", {1, 2, 2, 2, 83}, halves},
                            {"2x2x2, packs of channels", {2, 2, 4, 3, 16}, halves},
                            {"2x2x2, padding as in C3D", {1, 2, 5, 5, 8}, {.pad_h = 1, .pad_w = 1}},
                            {"frames alone", {2, 3, 4, 5, 3}, frames},
                            {"3x3x3 stride 2, padding", {1, 5, 6, 5, 3}, threes},
                            {"3x3x3 stride 2, packs of channels", {1, 3, 4, 4, 16}, threes},
                            {"overlapping windows", {1, 4, 4, 5, 7}, every},
                            {"different axes", {1, 4, 7, 6, 4}, uneven},
                            {"gaps between windows", {2, 5, 5, 5, 3}, gaps},
                            {"one window", {3, 2, 4, 3, 2}, whole},
                            {"clips of one pixel", {2, 1, 1, 1, 9}, threes}};
  std::vector<OpCase> rows;
  for (const Window& window : windows) rows.push_back(max_case(window.what, window.x, window.p));
  for (const Window& window : windows) rows.push_back(average_case(window.what, window.x, window.p));
  Pool3d inside = threes;
  inside.count_padding = false;
  rows.push_back(average_case("3x3x3 stride 2, padding not counted", {1, 5, 6, 5, 3}, inside));
  Pool3d uneven_inside = uneven;
  uneven_inside.count_padding = false;
  rows.push_back(average_case("different axes, padding not counted", {1, 4, 7, 6, 8}, uneven_inside));
  return rows;
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 3, 5, 6, 4}), whole_numbers = Tensor::zeros({2, 3, 5, 6, 4}, DType::i64);
  std::vector<BadCall> rows = {
      {"max_pool3d", "at most 256 elements in a window, got kernel 5x8x7",
       [] {
         max_pool3d(Tensor::zeros({1, 8, 8, 8, 1}), {.kernel_t = 5, .kernel_h = 8, .kernel_w = 7});
       }},
      {"max_pool3d", "at most 2^30 elements", [=] {
         max_pool3d(x, {.kernel_t = 1 << 21,
                        .kernel_h = 1 << 22,
                        .kernel_w = 1 << 21,
                        .pad_t = 1 << 20,
                        .pad_h = 1 << 21,
                        .pad_w = 1 << 20});
       }}};
  for (const auto& [name, pool] : {std::pair{"max_pool3d", &max_pool3d}, {"average_pool3d", &average_pool3d}})
    rows.insert(rows.end(), {{name, "expected a float tensor (N, T, H, W, C), got (3,5,6,4)",
                              [=] {
                                pool(Tensor::zeros({3, 5, 6, 4}), {});
                              }},
                             {name, "expected a float tensor", [=] { pool(whole_numbers, {}); }},
                             {name, "must be at least 1, got kernel 0x2x2", [=] { pool(x, {.kernel_t = 0}); }},
                             {name, "must be at least 1", [=] { pool(x, {.stride_w = 0}); }},
                             {name, "between 0 and half the kernel, got 2x0x0", [=] { pool(x, {.pad_t = 2}); }},
                             {name, "between 0 and half the kernel", [=] { pool(x, {.pad_w = -1}); }},
                             {name, "is larger than the padded clips", [=] { pool(x, {.kernel_t = 4}); }}});
  return rows;
}

const Family pool3d_family{cases, refused};

}  // namespace
}  // namespace engine::test
