#include <cmath>
#include <limits>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// Calls f(h, w) for the elements of x (N, H, W, C) in window (i, j).
void visit_window(const Array& x, const Pool2d& p, int64_t i, int64_t j,
                  const std::function<void(int64_t, int64_t)>& f) {
  for (int64_t h = i * p.stride_h - p.pad_h; h < i * p.stride_h - p.pad_h + p.kernel_h; ++h)
    for (int64_t w = j * p.stride_w - p.pad_w; w < j * p.stride_w - p.pad_w + p.kernel_w; ++w)
      if (h >= 0 && h < x.size(1) && w >= 0 && w < x.size(2)) f(h, w);
}

double naive_window(const Array& x, const Pool2d& p, bool largest, int64_t n, int64_t i, int64_t j, int64_t c) {
  double sum = 0, best = -std::numeric_limits<double>::infinity();
  int64_t count = 0;
  visit_window(x, p, i, j, [&](int64_t h, int64_t w) {
    sum += x(n, h, w, c);
    best = std::max(best, x(n, h, w, c));
    ++count;
  });
  return largest ? best : sum / static_cast<double>(p.count_padding ? p.kernel_h * p.kernel_w : count);
}

Tensor naive_pool2d(const Array& x, const Pool2d& p, bool largest) {
  const Array y(Shape{x.size(0), (x.size(1) + 2 * p.pad_h - p.kernel_h) / p.stride_h + 1,
                      (x.size(2) + 2 * p.pad_w - p.kernel_w) / p.stride_w + 1, x.size(3)});
  for (int64_t n = 0; n < y.size(0); ++n)
    for (int64_t i = 0; i < y.size(1); ++i)
      for (int64_t j = 0; j < y.size(2); ++j)
        for (int64_t c = 0; c < y.size(3); ++c) y(n, i, j, c) = naive_window(x, p, largest, n, i, j, c);
  return y.tensor;
}

// At most 900 elements: the distinct values of a window are then further apart than a step of the gradient check.
OpCase max_case(const std::string& what, const Shape& x, const Pool2d& p) {
  const bool overlap = p.stride_h < p.kernel_h || p.stride_w < p.kernel_w;
  return {.op = "max_pool2d",
          .what = concat(what, ": ", x),
          .inputs = {{x, Fill::distinct}},
          .run = [p](const Tensors& in) { return Tensors{max_pool2d(in[0], p)}; },
          .reference = [p](const Tensors& in) { return Tensors{naive_pool2d(Array(in[0]), p, true)}; },
          .f32 = 0.0,
          .f32_grad = overlap ? 1e-6 : 0.0,  // where windows overlap, gradients are added
          .bf16 = 0.0,
          .bf16_grad = overlap ? 4e-3 : 0.0,
          .exact_integers = true};
}

OpCase average_case(const std::string& what, const Shape& x, const Pool2d& p) {
  const int64_t count = p.kernel_h * p.kernel_w;
  const bool exact = p.count_padding && (count & (count - 1)) == 0;  // sums are divided by a power of two
  const double bound = 4 * std::sqrt(static_cast<double>(count + 1)) * 0x1p-24;
  return {.op = "average_pool2d",
          .what = concat(what, ": ", x),
          .inputs = {{x}},
          .run = [p](const Tensors& in) { return Tensors{average_pool2d(in[0], p)}; },
          .reference = [p](const Tensors& in) { return Tensors{naive_pool2d(Array(in[0]), p, false)}; },
          .f32 = bound,
          .f32_grad = bound,
          .exact_integers = exact};
}

OpCase global_case(const Shape& x) {
  const int64_t count = x.elements(1, x.rank() - 1);
  return {.op = "global_average_pool",
          .what = concat(x),
          .inputs = {{x}},
          .run = [](const Tensors& in) { return Tensors{global_average_pool(in[0])}; },
          .reference =
              [=](const Tensors& in) {
                const Array from(in[0]), y(Shape{x[0], x[-1]});
                for (int64_t i = 0; i < from.elements(); ++i)
                  y(i / (count * x[-1]), i % x[-1]) += from.flat(i) / static_cast<double>(count);
                return Tensors{y.tensor};
              },
          .f32 = 4 * std::sqrt(static_cast<double>(count + 1)) * 0x1p-24,
          .exact_integers = (count & (count - 1)) == 0};
}

// The mean over the places of each cell, found by asking every place whether it is in the cell.
Tensor naive_adaptive(const Array& x, int64_t rows, int64_t columns) {
  const auto inside = [](int64_t place, int64_t size, int64_t cell, int64_t cells) {
    return (place + 1) * cells > cell * size && place * cells < (cell + 1) * size;
  };
  const Array y(Shape{x.size(0), rows, columns, x.size(3)});
  for (int64_t n = 0; n < x.size(0); ++n)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t c = 0; c < x.size(3); ++c) {
          double sum = 0, count = 0;
          for (int64_t h = 0; h < x.size(1); ++h)
            for (int64_t w = 0; w < x.size(2); ++w)
              if (inside(h, x.size(1), i, rows) && inside(w, x.size(2), j, columns)) sum += x(n, h, w, c), ++count;
          y(n, i, j, c) = sum / count;
        }
  return y.tensor;
}

OpCase adaptive_case(const char* what, const Shape& x, int64_t rows, int64_t columns) {
  return {.op = "adaptive_average_pool2d",
          .what = concat(what, ": ", x, " to ", rows, "x", columns),
          .inputs = {{x}},
          .run = [=](const Tensors& in) { return Tensors{adaptive_average_pool2d(in[0], rows, columns)}; },
          .reference = [=](const Tensors& in) { return Tensors{naive_adaptive(Array(in[0]), rows, columns)}; }};
}

std::vector<OpCase> cases() {
  const Pool2d halves{}, three_by_two{.kernel_h = 3, .kernel_w = 3, .pad_h = 1, .pad_w = 1};
  const Pool2d every{.kernel_h = 2, .kernel_w = 3, .stride_h = 1, .stride_w = 1};
  const Pool2d uneven{.kernel_h = 1, .kernel_w = 4, .stride_h = 3, .stride_w = 2, .pad_w = 2};
  const Pool2d gaps{.kernel_h = 2, .kernel_w = 2, .stride_h = 3, .stride_w = 3};
  const Pool2d whole{.kernel_h = 5, .kernel_w = 4, .stride_h = 5, .stride_w = 4};
  const Pool2d large{.kernel_h = 5, .kernel_w = 4, .stride_h = 2, .stride_w = 1, .pad_h = 2, .pad_w = 1};
  struct Window {
    const char* what;
    Shape x;
    Pool2d p;
  };
  const Window windows[] = {{"2x2", {2, 6, 8, 3}, halves},
                            {"2x2, odd sizes", {1, 5, 7, 5}, halves},
                            {"2x2, blocks of channels and a rest", {1, 2, 4, 83}, halves},
                            {"3x3 stride 2, padding", {2, 7, 8, 3}, three_by_two},
                            {"overlapping windows", {1, 5, 6, 7}, every},
                            {"different axes", {1, 7, 9, 4}, uneven},
                            {"gaps between windows", {2, 7, 8, 3}, gaps},
                            {"one window", {3, 5, 4, 2}, whole},
                            {"images of one pixel", {2, 1, 1, 9}, three_by_two},
                            {"one channel", {1, 6, 6, 1}, halves},
                            {"2x2, 16 channels", {2, 5, 4, 16}, halves},
                            {"3x3 stride 2, padding, 8 channels", {1, 6, 7, 8}, three_by_two},
                            {"overlapping windows, 8 channels", {1, 4, 5, 8}, every},
                            {"large windows", {1, 6, 5, 3}, large},
                            {"large windows, 24 channels", {1, 5, 6, 24}, large},
                            {"gaps between windows, 8 channels", {1, 5, 7, 8}, gaps}};
  std::vector<OpCase> rows;
  for (const Window& window : windows) rows.push_back(max_case(window.what, window.x, window.p));
  for (const Window& window : windows) rows.push_back(average_case(window.what, window.x, window.p));
  Pool2d inside = three_by_two;
  inside.count_padding = false;
  rows.push_back(average_case("3x3 stride 2, padding not counted", {2, 7, 8, 3}, inside));
  rows.push_back(average_case("many elements, padding not counted", {2, 17, 19, 24}, inside));
  rows.push_back(average_case(
      "different sizes, padding not counted", {1, 5, 9, 66},
      {.kernel_h = 2, .kernel_w = 4, .stride_h = 1, .stride_w = 3, .pad_h = 1, .pad_w = 2, .count_padding = false}));
  for (const Shape& x :
       {Shape{2, 4, 8, 5}, Shape{3, 7, 5, 33}, Shape{2, 3, 2, 4, 3}, Shape{4, 9, 2}, Shape{1, 1, 1, 1}})
    rows.push_back(global_case(x));
  rows.push_back(adaptive_case("cells of one size", {2, 8, 6, 5}, 4, 2));
  rows.push_back(adaptive_case("overlapping cells", {2, 14, 7, 3}, 4, 4));
  rows.push_back(adaptive_case("one axis divides", {3, 6, 5, 4}, 3, 2));
  rows.push_back(adaptive_case("cells of different sizes", {1, 5, 9, 17}, 3, 5));
  rows.push_back(adaptive_case("more cells than pixels", {2, 1, 3, 5}, 4, 4));
  rows.push_back(adaptive_case("the same size", {1, 3, 4, 2}, 3, 4));
  return rows;
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 5, 6, 4}), whole_numbers = Tensor::zeros({2, 5, 6, 4}, DType::i64);
  std::vector<BadCall> rows = {
      {"max_pool2d", "at most 256 elements",
       [] {
         max_pool2d(Tensor::zeros({1, 20, 20, 1}), {.kernel_h = 17, .kernel_w = 16});
       }},
      {"global_average_pool", "something between N and C",
       [] {
         global_average_pool(Tensor::zeros({2, 3}));
       }},
      {"global_average_pool", "something between N and C",
       [] {
         global_average_pool(Tensor::zeros({2, 0, 3}));
       }},
      {"adaptive_average_pool2d", "got (2,5,6,4) f32 to 0x3", [=] { adaptive_average_pool2d(x, 0, 3); }},
      {"adaptive_average_pool2d", "got (2,5,6,4) i64", [=] { adaptive_average_pool2d(whole_numbers, 2, 3); }},
      {"adaptive_average_pool2d", "got (5,6,4) f32",
       [] {
         adaptive_average_pool2d(Tensor::zeros({5, 6, 4}), 2, 3);
       }},
      {"global_average_pool", "expected a float tensor", [=] { global_average_pool(whole_numbers); }}};
  for (const auto& [name, pool] : {std::pair{"max_pool2d", &max_pool2d}, {"average_pool2d", &average_pool2d}})
    rows.insert(rows.end(), {{name, "expected a float tensor (N, H, W, C), got (5,6,4)",
                              [=] {
                                pool(Tensor::zeros({5, 6, 4}), {});
                              }},
                             {name, "expected a float tensor", [=] { pool(whole_numbers, {}); }},
                             {name, "must be at least 1, got kernel 0x2", [=] { pool(x, {.kernel_h = 0}); }},
                             {name, "must be at least 1", [=] { pool(x, {.stride_w = 0}); }},
                             {name, "between 0 and half the kernel, got 2x0", [=] { pool(x, {.pad_h = 2}); }},
                             {name, "between 0 and half the kernel", [=] { pool(x, {.pad_w = -1}); }},
                             {name, "is larger than the padded images", [=] { pool(x, {.kernel_h = 6}); }}});
  return rows;
}

const Family pool_family{cases, refused};

}  // namespace
}  // namespace engine::test
