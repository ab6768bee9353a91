#include "kernels/matmul.h"

#include <atomic>

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/reduce.h"

namespace engine {
namespace {

constexpr int64_t kFlopPerPiece = 1 << 18;  // below this, a second thread costs more than it brings

// The product as a loop over matrices.
struct Batch {
  int64_t count, m, n, k;
  ConstView a, b;
  View y;

  // Elements from the first matrix of a view to the one with this index.
  static int64_t offset(const ConstView& view, int64_t index) {
    int64_t sum = 0;
    for (int axis = view.shape.rank() - 3; axis >= 0; --axis) {
      sum += index % view.shape[axis] * view.strides[axis];
      index /= view.shape[axis];
    }
    return sum;
  }
};

// The plain product; the reference.
void multiply_f64(const Batch& batch) {
  const int64_t a_row = batch.a.strides[-2], a_column = batch.a.strides[-1];
  const int64_t b_row = batch.b.strides[-2], b_column = batch.b.strides[-1];
  parallel_rows(batch.count * batch.m, batch.n * batch.k, [&](int64_t row) {
    const int64_t index = row / batch.m, i = row % batch.m;
    const double* a = batch.a.as<double>() + Batch::offset(batch.a, index) + i * a_row;
    const double* b = batch.b.as<double>() + Batch::offset(batch.b, index);
    double* y = batch.y.as<double>() + Batch::offset(batch.y, index) + i * batch.y.strides[-2];
    std::fill(y, y + batch.n, 0.0);
    for (int64_t k = 0; k < batch.k; ++k)
      for (int64_t j = 0; j < batch.n; ++j) y[j] += a[k * a_column] * b[k * b_row + j * b_column];
  });
}

onednn::Matrix matrix_of(const ConstView& v) {
  const int64_t rows = v.shape[-2], columns = v.shape[-1];
  if (v.strides[-1] == 1 || columns == 1) return {v.as<float>(), rows == 1 ? columns : v.strides[-2], false};
  return {v.as<float>(), v.strides[-1], true};
}

void multiply_f32(const Batch& batch) {
  const onednn::Matrix a = matrix_of(batch.a), b = matrix_of(batch.b);
  float* y = batch.y.as<float>();
  const int64_t y_stride = batch.m == 1 ? batch.n : batch.y.strides[-2];
  std::atomic<bool> failed = false;
  const auto multiply = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const onednn::Matrix left{a.data + Batch::offset(batch.a, i), a.stride, a.transposed};
      const onednn::Matrix right{b.data + Batch::offset(batch.b, i), b.stride, b.transposed};
      if (!onednn::sgemm(batch.m, batch.n, batch.k, left, right, y + Batch::offset(batch.y, i), y_stride))
        failed = true;
    }
  };
  // Several matrices to a thread, or several threads to a matrix.
  if (batch.count >= omp_get_max_threads())
    parallel_for(batch.count, std::max<int64_t>(1, kFlopPerPiece / (2 * batch.m * batch.n * batch.k)), multiply);
  else
    multiply(0, batch.count);
  ENGINE_CHECK(!failed, "matmul: oneDNN could not multiply ", batch.a.shape, " by ", batch.b.shape,
               "; use a smaller batch");
}

void check(const ConstView& a, const ConstView& b, const View& y, bool epilogue) {
  const auto outer = [](const ConstView& v) { return v.shape.slice(0, v.shape.rank() - 2); };
  const auto serves = [&](const ConstView& v) { return v.shape.rank() == 2 || outer(v) == outer(y); };
  const bool matrices = a.shape.rank() >= 2 && b.shape.rank() >= 2 && y.shape.rank() >= 2;
  const bool fits = matrices && a.shape[-1] == b.shape[-2] && y.shape[-2] == a.shape[-2] &&
                    y.shape[-1] == b.shape[-1] && serves(a) && serves(b) && a.dtype == b.dtype && a.dtype == y.dtype;
  ENGINE_CHECK(fits, "matmul: ", a.shape, " ", a.dtype, " by ", b.shape, " ", b.dtype, " into ", y.shape, " ", y.dtype);
  const auto usable = [](const ConstView& v) {
    return v.elements() == 0 || v.strides[-1] == 1 || v.strides[-2] == 1 || v.shape[-1] == 1 || v.shape[-2] == 1;
  };
  ENGINE_CHECK(usable(a) && usable(b) && (y.shape[-1] <= 1 || y.strides[-1] == 1) && (!epilogue || y.contiguous()),
               "matmul: strides ", a.strides, " by ", b.strides, " into ", y.strides, " are not supported");
}

}  // namespace

void matmul(CpuContext& ctx, const Unary& f, ConstView a, ConstView b, ConstView bias, View y) {
  check(a, b, y, bias.defined() || !is_identity(f));
  const InF32 in_f32(ctx, a, b, bias, y);
  if (y.elements() == 0) return;
  merge_products(a, b, y);
  const Batch batch{y.shape.elements(0, y.shape.rank() - 2), a.shape[-2], b.shape[-1], a.shape[-1], a, b, y};
  if (y.dtype == DType::f64)
    multiply_f64(batch);
  else if (batch.k > 0)
    multiply_f32(batch);
  else
    fill(ctx, y, 0.0);
  activate(ctx, f, bias, y);
}

void linear_backward_weight(CpuContext& ctx, ConstView dy, ConstView x, View dw, View db) {
  matmul(ctx, {Unary::affine}, transposed(dy), x, {}, dw);
  reduce_forward(ctx, {Reduce::sum, 0, 1}, dy, db);
}

}  // namespace engine
