#include "engine/ops/dropout.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"
#include "engine/random.h"

namespace engine {

DrawnDropout draw_dropout(const char* op, double probability, Device device) {
  ENGINE_CHECK(probability >= 0 && probability < 1, op,
               ": the probability of dropout must be at least 0 and less than 1, got ", probability);
  if (probability == 0) return {};
  StepRandom& random = StepRandom::current();
  return {{probability, random.seed() ^ kDropoutKey, random.next_stream()}, random.step(device)};
}

Tensor DrawnDropout::operator()(const Tensor& x) const {
  return computed_like(x, [&](auto& ctx, View y) { dropout(ctx, p, step, x, y); });
}

Tensor dropout(const Tensor& x, double probability) {
  ENGINE_CHECK(is_float(x.dtype()), "dropout: expected a float tensor, got ", x.shape(), " ", x.dtype());
  const DrawnDropout drop = draw_dropout("dropout", probability, x.device());
  if (probability == 0) return x;
  const ProfiledPass pass = forward_pass("dropout", x);
  return record("dropout", {x}, drop(x), [drop](const Grads& dy) { return Grads{drop(dy[0])}; });
}

}  // namespace engine
