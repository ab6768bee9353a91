#include "layers/models/parts.h"

#include <cmath>

namespace engine::layers {
namespace {

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

}  // namespace engine::layers
