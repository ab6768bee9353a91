#include "layers/models/parts.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/autograd.h"
#include "engine/random.h"

namespace engine::layers {
namespace {

void scale_to(const Tensor& weight, double variance) {
  weight.copy_from(affine(weight, std::sqrt(variance / mean(square(weight)).item()), 0));
}

}  // namespace

Tensor residual_relu(const Tensor& x, const Tensor& shortcut, BatchNorm& norm, DropPath* drop) {
  return drop != nullptr ? relu(add((*drop)(norm(x)), shortcut)) : norm.with_residual(x, shortcut);
}

Tensor recomputed(Module& module, const std::function<Tensor(const Tensor& x)>& f, const Tensor& x) {
  const std::vector<NamedTensor> parameters = module.parameters();
  const auto trained =
      std::ranges::find_if(parameters, [](const NamedTensor& each) { return needs_grad(each.tensor); });
  if (trained == parameters.end()) return f(x);
  const StepRandom draws = StepRandom::current();
  Tensor y;
  {
    const NoGrad no_grad;
    y = f(x);
  }
  const auto backward = [&module, f, kept = x.detach(), wanted = needs_grad(x), draws](const Grads& dy) {
    const NoGrad recorded(false);
    const std::vector<NamedTensor> buffers = module.buffers();
    std::vector<Tensor> statistics;  // as the first time left them
    for (const NamedTensor& each : buffers) statistics.push_back(each.tensor.clone());
    const StepRandom now = std::exchange(StepRandom::current(), draws);
    const Tensor input = kept.detach();
    if (wanted) input.set_requires_grad();
    f(input).backward(dy[0]);  // parameters get their gradients here
    StepRandom::current() = now;
    for (size_t i = 0; i < buffers.size(); ++i) buffers[i].tensor.copy_from(statistics[i]);
    return Grads{wanted ? input.grad() : Tensor(), Tensor()};
  };
  return record("recompute", {x, trained->tensor}, y, backward);  // by the parameter, should x need no gradient
}

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
