#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"
#include "kernels/copy.h"

namespace engine {
namespace {

// x with its axes in another order, copied to contiguous memory.
Tensor permuted(const Tensor& x, const std::vector<int>& axes) {
  const Shape strides = contiguous_strides(x.shape());
  Shape shape, steps;
  for (const int axis : axes) {
    shape.push_back(x.size(axis));
    steps.push_back(strides[axis]);
  }
  const ConstView from(x.memory(), x.dtype(), shape, steps);
  return computed(shape, x.dtype(), x.device(), [&](auto& ctx, View y) { copy(ctx, from, y); });
}

Tensor converted(const Tensor& x, DType dtype) {
  return computed(x.shape(), dtype, x.device(), [&](auto& ctx, View y) { copy(ctx, x, y); });
}

// Seen as matrices whose rows are the axes before `axis`, `parts` are blocks of columns of `whole`. Calls f(ctx, i,
// shape, view) with each part's number, and the shape and the strided view of its block.
template <class F>
void for_each_block(const Tensor& whole, const std::vector<Shape>& parts, int axis, const F& f) {
  auto* first = static_cast<char*>(whole.memory());
  const int64_t rows = whole.shape().elements(0, axis), columns = whole.shape().elements(axis, whole.rank());
  for (size_t i = 0; i < parts.size(); ++i) {
    const Shape block{rows, parts[i].elements(axis, parts[i].rank())};
    compute(whole.device(), [&](auto& ctx) { f(ctx, i, block, View(first, whole.dtype(), block, {columns, 1})); });
    first += block[1] * size_of(whole.dtype());
  }
}

}  // namespace

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  std::vector<int> inverse(static_cast<size_t>(x.rank()), -1), order;
  ENGINE_CHECK(static_cast<int>(axes.size()) == x.rank(), "permute: ", axes.size(), " axes given for ", x.shape());
  for (const int axis : axes) {
    order.push_back(x.shape().resolve(axis));
    int& place = inverse[static_cast<size_t>(order.back())];
    ENGINE_CHECK(place < 0, "permute: axis ", axis, " given twice");
    place = static_cast<int>(order.size()) - 1;
  }
  const ProfiledPass pass = forward_pass("permute", x);
  return record("permute", {x}, permuted(x, order),
                [inverse](const Grads& dy) { return Grads{permuted(dy[0], inverse)}; });
}

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  ENGINE_CHECK(!parts.empty(), "concat: no tensors given");
  const Tensor& first = parts[0];
  const int at = first.shape().resolve(axis);
  Shape shape = first.shape();
  shape[at] = 0;
  std::vector<Shape> shapes;
  for (const Tensor& part : parts) {
    Shape expected = first.shape();
    if (part.rank() == first.rank()) expected[at] = part.size(at);
    ENGINE_CHECK(part.shape() == expected && part.dtype() == first.dtype() && part.device() == first.device(),
                 "concat: ", part.shape(), " ", part.dtype(), " does not join ", first.shape(), " ", first.dtype(),
                 " along axis ", axis);
    shape[at] += part.size(at);
    shapes.push_back(part.shape());
  }
  const ProfiledPass pass = forward_pass("concat", first);
  const Tensor y = Tensor::empty(shape, first.dtype(), first.device());
  for_each_block(y, shapes, at, [&](auto& ctx, size_t i, const Shape& block, const View& in_y) {
    copy(ctx, View(parts[i].memory(), y.dtype(), block), in_y);
  });
  return record("concat", parts, y, [=](const Grads& dy) {
    Grads grads(shapes.size());
    for_each_block(dy[0], shapes, at, [&](auto& ctx, size_t i, const Shape& block, const View& in_dy) {
      grads[i] = Tensor::empty(shapes[i], in_dy.dtype, dy[0].device());
      copy(ctx, in_dy, View(grads[i].memory(), in_dy.dtype, block));
    });
    return grads;
  });
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  const ProfiledPass pass = forward_pass("cast", x);
  const Tensor y = converted(x, dtype);
  tell_operands("cast", {x}, {y});
  if (!is_float(dtype) || !is_float(x.dtype())) return y;
  return record("cast", {x}, y, [from = x.dtype()](const Grads& dy) { return Grads{converted(dy[0], from)}; });
}

}  // namespace engine
