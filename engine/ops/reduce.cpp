#include "kernels/reduce.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"

namespace engine {
namespace {

Tensor reduce(Reduce::Op op, const Tensor& x, int first_axis, int last_axis) {
  constexpr std::array kNames = {"sum", "mean", "max"};
  const char* const name = kNames[op];
  ENGINE_CHECK(is_float(x.dtype()), name, ": expected a float tensor, got ", x.shape(), " ", x.dtype());
  const int first = x.shape().resolve(first_axis), last = x.shape().resolve(last_axis);
  ENGINE_CHECK(first <= last, name, ": axis ", first_axis, " comes after axis ", last_axis, " in ", x.shape());
  ENGINE_CHECK(op == Reduce::sum || x.shape().elements(first, last + 1) > 0, name, ": nothing to reduce in ",
               x.shape());
  const Reduce p{op, first, last + 1};
  Shape kept = x.shape().slice(0, first);
  for (int axis = last + 1; axis < x.rank(); ++axis) kept.push_back(x.size(axis));
  const ProfiledPass pass = forward_pass(name, x);
  const Tensor y = computed(kept, x.dtype(), x.device(), [&](auto& ctx, View to) { reduce_forward(ctx, p, x, to); });
  const Tensor saved = op == Reduce::max ? x.detach() : Tensor();
  return record(name, {x}, y, [=, shape = x.shape()](const Grads& dy) {
    return Grads{computed(shape, dy[0].dtype(), dy[0].device(),
                          [&](auto& ctx, View dx) { reduce_backward(ctx, p, saved, dy[0], dx); })};
  });
}

// A scalar has no axis to reduce over; as one row of one element it has.
Tensor whole(const Tensor& x) { return x.reshape({x.elements()}); }

}  // namespace

Tensor sum(const Tensor& x, int first_axis, int last_axis) { return reduce(Reduce::sum, x, first_axis, last_axis); }
Tensor sum(const Tensor& x) { return sum(whole(x), 0, 0); }
Tensor mean(const Tensor& x, int first_axis, int last_axis) { return reduce(Reduce::mean, x, first_axis, last_axis); }
Tensor mean(const Tensor& x) { return mean(whole(x), 0, 0); }
Tensor max(const Tensor& x, int first_axis, int last_axis) { return reduce(Reduce::max, x, first_axis, last_axis); }

Tensor argmax(const Tensor& x) {
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() >= 1 && x.size(-1) > 0,
               "argmax: expected a float tensor (..., C) with C > 0, got ", x.shape(), " ", x.dtype());
  const ProfiledPass pass = forward_pass("argmax", x);
  return record(
      "argmax", {x},
      computed(x.shape().slice(0, x.rank() - 1), DType::i64, x.device(), [&](auto& ctx, View y) { argmax(ctx, x, y); }),
      {});
}

}  // namespace engine
