#include "engine/autograd.h"
#include "engine/ops.h"

namespace engine {
namespace {

// Checks the arguments and gives the shape of the result.
Shape pooled_shape(const std::string& name, const Tensor& x, const Pool2d& p) {
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() == 4, name, ": expected a float tensor (N, H, W, C), got ", x.shape(),
               " ", x.dtype());
  ENGINE_CHECK(p.kernel_h >= 1 && p.kernel_w >= 1 && p.stride_h >= 1 && p.stride_w >= 1, name,
               ": kernel and stride must be at least 1, got kernel ", p.kernel_h, "x", p.kernel_w, ", stride ",
               p.stride_h, "x", p.stride_w);
  ENGINE_CHECK(p.pad_h >= 0 && p.pad_w >= 0 && 2 * p.pad_h <= p.kernel_h && 2 * p.pad_w <= p.kernel_w, name,
               ": the padding must be between 0 and half the kernel, got ", p.pad_h, "x", p.pad_w, " for kernel ",
               p.kernel_h, "x", p.kernel_w);
  const int64_t rows = Conv2d::output_size(x.size(1), p.kernel_h, p.stride_h, p.pad_h, 1);
  const int64_t columns = Conv2d::output_size(x.size(2), p.kernel_w, p.stride_w, p.pad_w, 1);
  ENGINE_CHECK(x.size(1) > 0 && x.size(2) > 0 && rows > 0 && columns > 0, name, ": kernel ", p.kernel_h, "x",
               p.kernel_w, " is larger than the padded images of x ", x.shape(),
               "; use larger images or a smaller kernel");
  return {x.size(0), rows, columns, x.size(3)};
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2d& p) {
  const Shape shape = pooled_shape("max_pool2d", x, p);
  ENGINE_CHECK(p.kernel_h * p.kernel_w <= 256, "max_pool2d: at most 256 elements in a window, got kernel ", p.kernel_h,
               "x", p.kernel_w);
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device()), argmax = Tensor::empty(shape, DType::u8, x.device());
  on(x.device(), [&](auto& ctx) { max_pool2d_forward(ctx, p, x, y, argmax); });
  return record("max_pool2d", {x}, y, [p, argmax, x_shape = x.shape()](const Grads& dy) {
    const Tensor dx = Tensor::empty(x_shape, dy[0].dtype(), dy[0].device());
    on(dx.device(), [&](auto& ctx) { max_pool2d_backward(ctx, p, dy[0], argmax, dx); });
    return Grads{dx};
  });
}

Tensor average_pool2d(const Tensor& x, const Pool2d& p) {
  const Tensor y = Tensor::empty(pooled_shape("average_pool2d", x, p), x.dtype(), x.device());
  on(x.device(), [&](auto& ctx) { average_pool2d_forward(ctx, p, x, y); });
  return record("average_pool2d", {x}, y, [p, x_shape = x.shape()](const Grads& dy) {
    const Tensor dx = Tensor::empty(x_shape, dy[0].dtype(), dy[0].device());
    on(dx.device(), [&](auto& ctx) { average_pool2d_backward(ctx, p, dy[0], dx); });
    return Grads{dx};
  });
}

Tensor global_average_pool(const Tensor& x) {
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() >= 3 && x.shape().elements(1, x.rank() - 1) > 0,
               "global_average_pool: expected a float tensor (N, ..., C) with something between N and C, got ",
               x.shape(), " ", x.dtype());
  return mean(x, 1, x.rank() - 2);
}

}  // namespace engine
