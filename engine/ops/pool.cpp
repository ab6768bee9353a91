#include "engine/autograd.h"
#include "engine/ops.h"

namespace engine {
namespace {

// Checks the arguments and gives the shape of the result.
Shape pooled_shape(const char* name, bool clips, const Tensor& x, const Pool3d& p) {
  const char* items = clips ? "clips" : "images";
  const Space kernel = p.kernel(), stride = p.stride(), pad = p.pad();
  const auto text = [&](const Space& space) { return text_of(space, clips); };
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() == (clips ? 5 : 4), name, ": expected a float tensor ",
               clips ? "(N, T, H, W, C)" : "(N, H, W, C)", ", got ", x.shape(), " ", x.dtype());
  ENGINE_CHECK(std::ranges::min(kernel) >= 1 && std::ranges::min(stride) >= 1, name,
               ": kernel and stride must be at least 1, got kernel ", text(kernel), ", stride ", text(stride));
  double window = 1;
  for (size_t axis = 0; axis < 3; ++axis) {
    ENGINE_CHECK(pad[axis] >= 0 && pad[axis] <= kernel[axis] / 2, name,
                 ": the padding must be between 0 and half the kernel, got ", text(pad), " for kernel ", text(kernel));
    window *= static_cast<double>(kernel[axis]);
  }
  ENGINE_CHECK(window <= kMostPooled && std::ranges::max(space_of(x.shape())) <= kMostPooled, name,
               ": at most 2^30 elements along an axis and in a window, got x ", x.shape(), ", kernel ", text(kernel));
  const Shape shape = pool_shape(p, x.shape());
  ENGINE_CHECK(std::ranges::min(space_of(x.shape())) > 0 && std::ranges::min(space_of(shape)) > 0, name, ": kernel ",
               text(kernel), " is larger than the padded ", items, " of x ", x.shape(), "; use larger ", items,
               " or a smaller kernel");
  return shape;
}

Tensor max_pool(const char* name, bool clips, const Tensor& x, const Pool3d& p) {
  const Shape shape = pooled_shape(name, clips, x, p);
  ENGINE_CHECK(p.kernel_t * p.kernel_h * p.kernel_w <= 256, name, ": at most 256 elements in a window, got kernel ",
               text_of(p.kernel(), clips));
  const ProfiledPass pass = forward_pass(name, x);
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device()), argmax = Tensor::empty(shape, DType::u8, x.device());
  on(x.device(), [&](auto& ctx) { max_pool_forward(ctx, p, x, y, argmax); });
  return record(name, {x}, y, [p, argmax, x_shape = x.shape()](const Grads& dy) {
    const Tensor dx = Tensor::empty(x_shape, dy[0].dtype(), dy[0].device());
    on(dx.device(), [&](auto& ctx) { max_pool_backward(ctx, p, dy[0], argmax, dx); });
    return Grads{dx};
  });
}

Tensor average_pool(const char* name, bool clips, const Tensor& x, const Pool3d& p) {
  const ProfiledPass pass = forward_pass(name, x);
  const Tensor y = Tensor::empty(pooled_shape(name, clips, x, p), x.dtype(), x.device());
  on(x.device(), [&](auto& ctx) { average_pool_forward(ctx, p, x, y); });
  return record(name, {x}, y, [p, x_shape = x.shape()](const Grads& dy) {
    const Tensor dx = Tensor::empty(x_shape, dy[0].dtype(), dy[0].device());
    on(dx.device(), [&](auto& ctx) { average_pool_backward(ctx, p, dy[0], dx); });
    return Grads{dx};
  });
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2d& p) { return max_pool("max_pool2d", false, x, over_time(p)); }
Tensor max_pool3d(const Tensor& x, const Pool3d& p) { return max_pool("max_pool3d", true, x, p); }
Tensor average_pool2d(const Tensor& x, const Pool2d& p) {
  return average_pool("average_pool2d", false, x, over_time(p));
}
Tensor average_pool3d(const Tensor& x, const Pool3d& p) { return average_pool("average_pool3d", true, x, p); }

Tensor global_average_pool(const Tensor& x) {
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() >= 3 && x.shape().elements(1, x.rank() - 1) > 0,
               "global_average_pool: expected a float tensor (N, ..., C) with something between N and C, got ",
               x.shape(), " ", x.dtype());
  return mean(x, 1, x.rank() - 2);
}

}  // namespace engine
