#include "engine/autograd.h"
#include "engine/ops.h"
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
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  const ConstView from(x.memory(), x.dtype(), shape, steps);
  on(x.device(), [&](auto& ctx) { copy(ctx, from, y); });
  return y;
}

Tensor converted(const Tensor& x, DType dtype) {
  const Tensor y = Tensor::empty(x.shape(), dtype, x.device());
  on(x.device(), [&](auto& ctx) { copy(ctx, x, y); });
  return y;
}

// The columns [begin, begin + width) of a matrix, as a strided view.
View columns(const Tensor& matrix, int64_t begin, int64_t width) {
  auto* first = static_cast<char*>(matrix.memory()) + begin * size_of(matrix.dtype());
  return View(first, matrix.dtype(), {matrix.size(0), width}, {matrix.size(1), 1});
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
  // Seen as matrices of shape[0..axis) rows, the parts are blocks of columns.
  const Tensor y = Tensor::empty(shape, first.dtype(), first.device());
  const int64_t rows = shape.elements(0, at);
  const Tensor matrix = y.reshape({rows, shape.elements(at, shape.rank())});
  int64_t begin = 0;
  for (const Tensor& part : parts) {
    const int64_t width = part.shape().elements(at, part.rank());
    on(y.device(), [&](auto& ctx) { copy(ctx, part.detach().reshape({rows, width}), columns(matrix, begin, width)); });
    begin += width;
  }
  return record("concat", parts, y, [=](const Grads& dy) {
    const Tensor from = dy[0].reshape({rows, -1});
    Grads grads;
    int64_t start = 0;
    for (const Shape& each : shapes) {
      const int64_t width = each.elements(at, each.rank());
      grads.push_back(Tensor::empty(each, from.dtype(), from.device()));
      on(from.device(), [&](auto& ctx) {
        copy(ctx, columns(from, start, width), grads.back().reshape({rows, width}));
      });
      start += width;
    }
    return grads;
  });
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  const ProfiledPass pass = forward_pass("cast", x);
  const Tensor y = converted(x, dtype);
  if (!is_float(dtype) || !is_float(x.dtype())) return y;
  return record("cast", {x}, y, [from = x.dtype()](const Grads& dy) { return Grads{converted(dy[0], from)}; });
}

}  // namespace engine
