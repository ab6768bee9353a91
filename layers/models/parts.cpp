#include "layers/models/parts.h"

#include <cmath>

namespace engine::layers {
namespace {

// What the windows take of an axis: (windows, size), every row a mean.
Tensor window_means(int64_t size, int64_t windows, const Tensor& like) {
  const Tensor means = Tensor::zeros({windows, size}, DType::f64);
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t first = i * size / windows, end = ((i + 1) * size + windows - 1) / windows;
    for (int64_t j = first; j < end; ++j)
      means.values<double>()[static_cast<size_t>(i * size + j)] = 1.0 / static_cast<double>(end - first);
  }
  return cast(means, like.dtype()).to(like.device());
}

void scale_to(const Tensor& weight, double variance) {
  weight.copy_from(affine(weight, std::sqrt(variance / mean(square(weight)).item()), 0));
}

}  // namespace

void check_input(const Module& model, const Tensor& x, int rank, int64_t channels, int64_t least_side) {
  ENGINE_CHECK(x.rank() == rank && x.size(-1) == channels && x.size(-3) >= least_side && x.size(-2) >= least_side &&
                   x.elements() > 0,
               model.describe(), ": expected ", rank == 5 ? "clips (N,T,H,W," : "frames (N,H,W,", channels, ") of ",
               least_side, "x", least_side, " pixels at least, got ", x.shape());
}

void scale_convolutions(const Module& model) {
  for (const auto& [name, weight] : model.parameters()) {
    if (weight.rank() < 4) continue;
    const auto fan_out = static_cast<double>(weight.shape().elements(0, weight.rank() - 1));
    scale_to(weight.detach(), 2 / fan_out);
  }
}

void scale_linear(const Module& model, double deviation) {
  for (const auto& [name, weight] : model.parameters())
    if (weight.rank() == 2) scale_to(weight.detach(), deviation * deviation);
}

Tensor adaptive_average_pool2d(const Tensor& x, int64_t rows, int64_t columns) {
  const int64_t height = x.size(1), width = x.size(2);
  if (height == rows && width == columns) return x;
  if (height % rows == 0 && width % columns == 0) {
    const int64_t h = height / rows, w = width / columns;
    return average_pool2d(x, {.kernel_h = h, .kernel_w = w, .stride_h = h, .stride_w = w});
  }
  const Tensor across = linear(permute(x, {0, 1, 3, 2}), window_means(width, columns, x));  // (N, H, C, columns)
  const Tensor both = linear(permute(across, {0, 3, 2, 1}), window_means(height, rows, x));
  return permute(both, {0, 3, 1, 2});
}

}  // namespace engine::layers
