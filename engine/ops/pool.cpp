#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"

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
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  const Tensor argmax = needs_grad(x) ? Tensor::empty(shape, DType::u8, x.device()) : Tensor();
  compute(x.device(), [&](auto& ctx) { max_pool_forward(ctx, p, x, y, argmax); });
  return record(name, {x}, y, [p, argmax, x_shape = x.shape()](const Grads& dy) {
    return Grads{computed(x_shape, dy[0].dtype(), dy[0].device(),
                          [&](auto& ctx, View dx) { max_pool_backward(ctx, p, dy[0], argmax, dx); })};
  });
}

Tensor average_pool(const char* name, bool clips, const Tensor& x, const Pool3d& p) {
  const ProfiledPass pass = forward_pass(name, x);
  const Tensor y = computed(pooled_shape(name, clips, x, p), x.dtype(), x.device(),
                            [&](auto& ctx, View to) { average_pool_forward(ctx, p, x, to); });
  return record(name, {x}, y, [p, x_shape = x.shape()](const Grads& dy) {
    return Grads{computed(x_shape, dy[0].dtype(), dy[0].device(),
                          [&](auto& ctx, View dx) { average_pool_backward(ctx, p, dy[0], dx); })};
  });
}

// (bins, size): row i holds 1 / length in the `length` places of bin i. Made where it is used: nothing is copied there.
Tensor bins_matrix(int64_t size, int64_t bins, DType dtype, Device device) {
  const Tensor matrix = Tensor::zeros({bins * size}, dtype, device);
  for (int64_t i = 0; i < bins; ++i) {
    const int64_t begin = i * size / bins, end = ((i + 1) * size + bins - 1) / bins;
    fill(matrix.slice(i * size + begin, i * size + end), 1 / static_cast<double>(end - begin));
  }
  return matrix.reshape({bins, size});
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2d& p) { return max_pool("max_pool2d", false, x, over_time(p)); }
Tensor max_pool3d(const Tensor& x, const Pool3d& p) { return max_pool("max_pool3d", true, x, p); }
Tensor average_pool2d(const Tensor& x, const Pool2d& p) {
  return average_pool("average_pool2d", false, x, over_time(p));
}
Tensor average_pool3d(const Tensor& x, const Pool3d& p) { return average_pool("average_pool3d", true, x, p); }

// Where bins differ in size, the mean over a bin is a product with a matrix, for one axis after the other.
Tensor adaptive_average_pool2d(const Tensor& x, int64_t rows, int64_t columns) {
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() == 4 && std::min({x.size(1), x.size(2), rows, columns}) > 0,
               "adaptive_average_pool2d: expected a float tensor (N, H, W, C) and sizes over 0, got ", x.shape(), " ",
               x.dtype(), " to ", rows, "x", columns);
  const int64_t high = x.size(1) / rows, wide = x.size(2) / columns;
  if (high * rows == x.size(1) && wide * columns == x.size(2))
    return average_pool2d(x, {.kernel_h = high, .kernel_w = wide, .stride_h = high, .stride_w = wide});
  const DType dtype = wide_type(x.dtype());  // a third is not a bf16
  // (N, size, ...) -> (N, ..., bins)
  const auto averaged = [&](const Tensor& y, int64_t size, int64_t bins) {
    return matmul(y.reshape({x.size(0), size, -1}), bins_matrix(size, bins, dtype, x.device()),
                  {.transpose_a = true, .transpose_b = true});
  };
  const Tensor y = averaged(averaged(cast(x, dtype), x.size(1), rows), x.size(2), columns);
  return cast(permute(y.reshape({x.size(0), x.size(3), rows, columns}), {0, 2, 3, 1}), x.dtype());
}

Tensor global_average_pool(const Tensor& x) {
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() >= 3 && x.shape().elements(1, x.rank() - 1) > 0,
               "global_average_pool: expected a float tensor (N, ..., C) with something between N and C, got ",
               x.shape(), " ", x.dtype());
  return mean(x, 1, x.rank() - 2);
}

}  // namespace engine
