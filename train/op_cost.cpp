#include "train/op_cost.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace engine {
namespace {

double total(Sizes sizes) { return static_cast<double>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0})); }

// Ops whose derivative depends on none of their inputs. Of max pooling it does on positions, which are not counted.
constexpr std::array<std::string_view, 16> kConstantDerivative = {
    "accumulate", "add",   "sub",     "affine",  "sum",        "mean",       "permute",        "concat",
    "cast",       "slice", "reshape", "dropout", "max_pool2d", "max_pool3d", "average_pool2d", "average_pool3d"};

// Ops that hand a gradient on as it arrives, to the inputs that have its size; sub to the first only.
bool hands_on(std::string_view op, size_t input) {
  return op == "reshape" || op == "add" || (op == "sub" && input == 0);
}

}  // namespace

double backward_flop(std::string_view op, double forward_flop, Sizes gradients) {
  if (op.starts_with("attention")) return 2 * forward_flop;
  const Sizes factors = gradients.first(std::min<size_t>(2, gradients.size()));
  return forward_flop * static_cast<double>(std::ranges::count_if(factors, [](int64_t size) { return size > 0; }));
}

double forward_bytes(Sizes inputs, Sizes outputs) { return total(inputs) + total(outputs); }

double backward_bytes(std::string_view op, Sizes inputs, Sizes arrived, Sizes gradients) {
  double written = 0;
  for (size_t i = 0; i < gradients.size(); ++i)
    if (!hands_on(op, i) || gradients[i] != arrived[0]) written += static_cast<double>(gradients[i]);
  if (written == 0) return 0;
  // What residual_layer_norm() normalises is the sum of its first two inputs.
  const size_t skipped = op == "residual_layer_norm" && inputs.size() > 1 ? 1 : 0;
  const bool constant = std::ranges::find(kConstantDerivative, op) != kConstantDerivative.end();
  const double read = constant ? 0 : total(inputs) - (skipped ? static_cast<double>(inputs[1]) : 0);
  return total(arrived) + read + written;
}

}  // namespace engine
