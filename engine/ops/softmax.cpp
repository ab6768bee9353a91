#include "kernels/softmax.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"

namespace engine {
namespace {

Tensor apply_softmax(const char* name, Softmax kind, const Tensor& x) {
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() >= 1 && x.size(-1) > 0, name,
               ": expected a float tensor (..., C) with C > 0, got ", x.shape(), " ", x.dtype());
  const ProfiledPass pass = forward_pass(name, x);
  const Tensor y = computed_like(x, [&](auto& ctx, View to) { softmax_forward(ctx, kind, x, to); });
  return record(name, {x}, y, [kind, y = y.detach()](const Grads& dy) {
    return Grads{computed_like(y, [&](auto& ctx, View dx) { softmax_backward(ctx, kind, y, dy[0], dx); })};
  });
}

}  // namespace

Tensor softmax(const Tensor& x) { return apply_softmax("softmax", Softmax::softmax, x); }
Tensor log_softmax(const Tensor& x) { return apply_softmax("log_softmax", Softmax::log, x); }

}  // namespace engine
