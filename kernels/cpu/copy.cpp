#include "kernels/copy.h"

#include <cstring>

#include "kernels/cpu/parallel.h"

namespace engine {
namespace {

// One run of the innermost axis.
template <class From, class To>
void copy_row(const From* x, int64_t x_stride, To* y, int64_t y_stride, int64_t count) {
  if (x_stride != 1 || y_stride != 1)
    for (int64_t i = 0; i < count; ++i) y[i * y_stride] = convert<To>(x[i * x_stride]);
  else if (std::is_same_v<From, To>)
    std::memcpy(static_cast<void*>(y), x, static_cast<size_t>(count) * sizeof(To));
  else
    for (int64_t i = 0; i < count; ++i) y[i] = convert<To>(x[i]);
}

template <class From, class To>
void copy_strided(const ConstView& x, const View& y) {
  const From* from = x.as<From>();
  To* to = y.as<To>();
  const int rank = x.shape.rank();
  if (x.contiguous() && y.contiguous()) {
    return parallel_for(x.elements(), kPointwiseGrain,
                        [&](int64_t begin, int64_t end) { copy_row(from + begin, 1, to + begin, 1, end - begin); });
  }
  // A transposed matrix in squares, of which as much is read as is brought to the cache.
  if (rank == 2 && x.strides[0] == 1 && y.contiguous()) {
    constexpr int64_t kSide = 16;
    const int64_t rows = x.shape[0], columns = x.shape[1], stride = x.strides[1];
    return parallel_rows((rows + kSide - 1) / kSide, kSide * columns, [=](int64_t band) {
      for (int64_t i = 0; i < columns; i += kSide)
        for (int64_t r = band * kSide; r < std::min(rows, (band + 1) * kSide); ++r)
          copy_row(from + r + i * stride, stride, to + r * columns + i, 1, std::min(kSide, columns - i));
    });
  }
  parallel_rows(x.shape.elements(0, rank - 1), x.shape[-1], [&](int64_t rest) {
    int64_t x_offset = 0, y_offset = 0;
    for (int axis = rank - 2; axis >= 0; --axis) {
      const int64_t index = rest % x.shape[axis];
      rest /= x.shape[axis];
      x_offset += index * x.strides[axis];
      y_offset += index * y.strides[axis];
    }
    copy_row(from + x_offset, x.strides[-1], to + y_offset, y.strides[-1], x.shape[-1]);
  });
}

}  // namespace

void fill(CpuContext&, View y, double value) {
  ENGINE_CHECK(y.contiguous(), "fill: the output must be contiguous");
  dispatch_all(y.dtype, [&]<class T>() {
    const T element = convert<T>(value);
    T* out = y.as<T>();
    parallel_for(y.elements(), kPointwiseGrain,
                 [&](int64_t begin, int64_t end) { std::fill(out + begin, out + end, element); });
  });
}

void copy(CpuContext&, ConstView x, View y) {
  ENGINE_CHECK(x.shape == y.shape, "copy: input ", x.shape, " and output ", y.shape, " must have the same shape");
  dispatch_all(x.dtype,
               [&]<class From>() { dispatch_all(y.dtype, [&]<class To>() { copy_strided<From, To>(x, y); }); });
}

void accumulate(CpuContext&, ConstView x, View y) {
  ENGINE_CHECK(x.shape == y.shape && x.dtype == y.dtype, "accumulate: ", x.shape, " ", x.dtype, " onto ", y.shape, " ",
               y.dtype);
  ENGINE_CHECK(x.contiguous() && y.contiguous(), "accumulate: needs contiguous memory");
  const auto add = [&]<class T, class Sum>() {
    const T* from = x.as<T>();
    T* to = y.as<T>();
    parallel_elements(x.elements(), [=](int64_t i) { to[i] = T(static_cast<Sum>(to[i]) + static_cast<Sum>(from[i])); });
  };
  if (x.dtype == DType::bf16) return add.template operator()<bf16, float>();
  dispatch_float(x.dtype, [&]<class T>() { add.template operator()<T, T>(); });
}

}  // namespace engine
