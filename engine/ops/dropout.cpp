#include "kernels/dropout.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"

namespace engine {

Tensor dropout(const Tensor& x, double probability) {
  ENGINE_CHECK(is_float(x.dtype()), "dropout: expected a float tensor, got ", x.shape(), " ", x.dtype());
  ENGINE_CHECK(probability >= 0 && probability < 1, "dropout: the probability must be at least 0 and less than 1, got ",
               probability);
  if (probability == 0) return x;
  StepRandom& random = StepRandom::current();
  const Dropout p{probability, random.seed() ^ kDropoutKey, random.next_stream()};
  const Tensor step = random.step(x.device()), y = Tensor::empty_like(x);
  on(x.device(), [&](auto& ctx) { dropout(ctx, p, step, x, y); });
  return record("dropout", {x}, y, [p, step](const Grads& dy) {
    const Tensor dx = Tensor::empty_like(dy[0]);
    on(dx.device(), [&](auto& ctx) { dropout(ctx, p, step, dy[0], dx); });
    return Grads{dx};
  });
}

}  // namespace engine
