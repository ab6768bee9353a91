// Moving and converting elements. Traffic: every element read once and written once (fill: written; accumulate: two
// read, one written). Contiguous copies run at the memory's rate; a permuted read takes a 32-byte sector per element in
// the worst case.
#include "kernels/copy.h"

#include "kernels/cuda/map.cuh"

namespace engine {
namespace {

constexpr int kThreads = 256;

// Calls f.operator()<T>() with the device's type for `dtype`.
template <class F>
void dispatch_device_all(DType dtype, F&& f) {
  if (dtype == DType::bf16) return f.template operator()<__nv_bfloat16>();
  dispatch_all(dtype, [&]<class T>() {
    if constexpr (!std::is_same_v<T, bf16>) f.template operator()<T>();
  });
}

// The axes of a copy, outermost first, neighbours merged where both sides step evenly across them.
struct Axes {
  int rank = 0;
  int64_t size[Shape::kMaxRank] = {}, x[Shape::kMaxRank] = {}, y[Shape::kMaxRank] = {};

  Axes(const ConstView& from, const ConstView& to) {
    for (int axis = 0; axis < from.shape.rank(); ++axis) {
      if (from.shape[axis] == 1) continue;
      const int64_t length = from.shape[axis];
      if (rank > 0 && x[rank - 1] == from.strides[axis] * length && y[rank - 1] == to.strides[axis] * length)
        size[rank - 1] *= length;
      else
        size[rank++] = length;
      x[rank - 1] = from.strides[axis], y[rank - 1] = to.strides[axis];
    }
  }
};

template <class From, class To>
__global__ void copy_kernel(int64_t count, Axes axes, const From* x, To* y) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= count) return;
  int64_t rest = index, from = 0, to = 0;
  for (int axis = axes.rank - 1; axis >= 0; --axis) {
    const int64_t position = rest % axes.size[axis];
    rest /= axes.size[axis];
    from += position * axes.x[axis];
    to += position * axes.y[axis];
  }
  y[to] = convert<To>(x[from]);
}

template <class T>
struct Constant {
  T value;
  __device__ T operator()() const { return value; }
};

struct Same {
  template <class T>
  __device__ T operator()(T x) const {
    return x;
  }
};

struct Added {
  __device__ float operator()(float y, float x) const { return y + x; }
};

}  // namespace

void fill(CudaContext& ctx, View y, double value) {
  ENGINE_CHECK(y.contiguous(), "fill: the output must be contiguous");
  const int64_t count = y.elements();
  // Zero bytes are zero in every type.
  if (value == 0.0) {
    if (count > 0)
      ENGINE_CUDA(cudaMemsetAsync(y.memory(), 0, static_cast<size_t>(count * size_of(y.dtype)), ctx.stream()));
    return;
  }
  dispatch_device_all(y.dtype, [&]<class T>() { map(ctx, "fill", count, Constant<T>{convert<T>(value)}, y.as<T>()); });
}

void copy(CudaContext& ctx, ConstView x, View y) {
  ENGINE_CHECK(x.shape == y.shape, "copy: input ", x.shape, " and output ", y.shape, " must have the same shape");
  const int64_t count = x.elements();
  const bool contiguous = x.contiguous() && y.contiguous();
  if (contiguous && x.dtype == y.dtype) {
    if (count > 0)
      ENGINE_CUDA(cudaMemcpyAsync(y.memory(), x.data, static_cast<size_t>(count * size_of(x.dtype)),
                                  cudaMemcpyDeviceToDevice, ctx.stream()));
    return;
  }
  dispatch_device_all(x.dtype, [&]<class From>() {
    dispatch_device_all(y.dtype, [&]<class To>() {
      if (!contiguous)
        return launch(ctx, "copy", copy_kernel<From, To>, blocks_for(count, kThreads), kThreads, 0, count, Axes(x, y),
                      x, y);
      map(ctx, "copy", count, Same{}, y.as<To>(), x.as<From>());
    });
  });
}

void accumulate(CudaContext& ctx, ConstView x, View y) {
  ENGINE_CHECK(x.shape == y.shape && x.dtype == y.dtype, "accumulate: ", x.shape, " ", x.dtype, " onto ", y.shape, " ",
               y.dtype);
  ENGINE_CHECK(x.contiguous() && y.contiguous(), "accumulate: needs contiguous memory");
  dispatch_device_float(x.dtype, [&]<class T>() {
    map(ctx, "accumulate", x.elements(), Added{}, y.as<T>(), static_cast<const T*>(y.as<T>()), x.as<T>());
  });
}

}  // namespace engine
