// Matrix products by cuBLASLt. Row-major y = a b is, read column-major, y^T = b^T a^T: cuBLASLt's A is our b, its B our
// a, and its rows are our columns. The bias, one number per row of its result, then runs along our N as it should.
// Bound by tensor cores from about 300 FLOP per byte on, by memory below.
#include "kernels/matmul.h"

#include <array>
#include <iomanip>
#include <map>
#include <optional>
#include <vector>

#include "kernels/copy.h"
#include "kernels/cuda/plans.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"

namespace engine {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // what cuBLAS's documentation advises for Hopper
constexpr uint32_t kMostAlignment = 16;

// One stored matrix, column-major: rows of stride 1, `leading` elements from column to column.
struct Matrix {
  int64_t rows = 0, columns = 0, leading = 0, batch_stride = 0;
  bool transposed = false;  // the product takes its transpose
  uint32_t alignment = kMostAlignment;
  auto operator<=>(const Matrix&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Matrix& matrix) {
  return out << matrix.rows << "x" << matrix.columns << (matrix.transposed ? " transposed" : "") << " leading "
             << matrix.leading << " batch stride " << matrix.batch_stride << " alignment " << matrix.alignment;
}

// Everything that a choice of algorithm depends on.
struct Key {
  int64_t m = 0, n = 0, k = 0, batch = 1;  // of y = a b
  Matrix left{}, right{}, result{};        // b, a, y
  DType dtype = DType::f32;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  uint32_t bias_alignment = kMostAlignment;
  F32Products products = F32Products::strict;
  auto operator<=>(const Key&) const = default;
};

cudaDataType_t type_of(DType dtype) {
  ENGINE_CHECK(dtype == DType::f32 || dtype == DType::bf16, "matmul: on CUDA expected f32 or bf16, got ", dtype);
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

using Product = Owned<cublasLtMatmulDesc_t, destroy_product>;
using Layout = Owned<cublasLtMatrixLayout_t, destroy_layout>;
using Preference = Owned<cublasLtMatmulPreference_t, destroy_preference>;

template <class T>
void set(const Product& product, cublasLtMatmulDescAttributes_t attribute, T value) {
  ENGINE_CUDA(CUBLASLT(cublasLtMatmulDescSetAttribute)(product.get(), attribute, &value, sizeof value));
}
template <class T>
void set(const Layout& layout, cublasLtMatrixLayoutAttribute_t attribute, T value) {
  ENGINE_CUDA(CUBLASLT(cublasLtMatrixLayoutSetAttribute)(layout.get(), attribute, &value, sizeof value));
}
template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  ENGINE_CUDA(CUBLASLT(cublasLtMatmulPreferenceSetAttribute)(preference.get(), attribute, &value, sizeof value));
}

Layout make_layout(const Matrix& matrix, DType dtype, int64_t batch) {
  Layout layout;
  ENGINE_CUDA(CUBLASLT(cublasLtMatrixLayoutCreate)(layout.receive(), type_of(dtype), static_cast<uint64_t>(matrix.rows),
                                                   static_cast<uint64_t>(matrix.columns), matrix.leading));
  set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(batch));
  set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, matrix.batch_stride);
  return layout;
}

constexpr size_t kMostAlgorithms = 8;

// Descriptors and the algorithm of one key; only for the gradient of a bias there may be no algorithm.
struct Plan {
  Product product;
  Layout left, right, result;
  std::optional<cublasLtMatmulAlgo_t> algorithm;

  Plan(CudaContext& ctx, const Key& key) {
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
    if (key.dtype == DType::f32 && key.products == F32Products::tf32) compute = CUBLAS_COMPUTE_32F_FAST_TF32;
    ENGINE_CUDA(CUBLASLT(cublasLtMatmulDescCreate)(product.receive(), compute, CUDA_R_32F));
    set(product, CUBLASLT_MATMUL_DESC_TRANSA, key.left.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(product, CUBLASLT_MATMUL_DESC_TRANSB, key.right.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, key.epilogue);
    if (key.epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
      set(product, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(key.dtype));
      set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, uintptr_t{key.bias_alignment});  // which the heuristic looks at
    }
    left = make_layout(key.left, key.dtype, key.batch);
    right = make_layout(key.right, key.dtype, key.batch);
    result = make_layout(key.result, key.dtype, key.batch);

    Preference preference;
    ENGINE_CUDA(CUBLASLT(cublasLtMatmulPreferenceCreate)(preference.receive()));
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
    // Parts of a sum are added up in f32, not in the type of the result.
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.left.alignment);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.right.alignment);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.result.alignment);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.result.alignment);
    std::array<cublasLtMatmulHeuristicResult_t, kMostAlgorithms> found{};
    int count = 0;
    const cublasStatus_t status =
        CUBLASLT(cublasLtMatmulAlgoGetHeuristic)(ctx.cublaslt(), product.get(), left.get(), right.get(), result.get(),
                                                 result.get(), preference.get(), kMostAlgorithms, found.data(), &count);
    if (status != CUBLAS_STATUS_SUCCESS) count = 0;
    ENGINE_CHECK(count > 0 || key.epilogue == CUBLASLT_EPILOGUE_BGRADB, "matmul: cuBLASLt has no algorithm for ",
                 key.batch, " products (", key.m, ",", key.k, ") by (", key.k, ",", key.n, ") of ", key.dtype,
                 " (status ", static_cast<int>(status), ")");
    if (count > 0) choose(ctx, key, {found.begin(), found.begin() + count});
  }

  void choose(CudaContext& ctx, const Key& key, const std::vector<cublasLtMatmulHeuristicResult_t>& found) {
    const bool sums = key.epilogue == CUBLASLT_EPILOGUE_BGRADB;
    Trial trial{.dtype = key.dtype, .terms = key.k + 1, .results = sums ? 2u : 3u, .workspace_bytes = kWorkspace};
    trial.problem =
        concat("matmul: ", key.batch, " x (", key.m, ",", key.k, ") by (", key.k, ",", key.n, "), A ", key.left, ", B ",
               key.right, ", D ", key.result, ", epilogue ", static_cast<int>(key.epilogue), " alignment ",
               key.bias_alignment, ", ", key.dtype, key.products == F32Products::tf32 ? " (TF32)" : " (strict)");
    for (const auto& each : found) {
      std::ostringstream text;
      for (const uint64_t word : each.algo.data) text << std::hex << std::setfill('0') << std::setw(16) << word;
      trial.candidates.push_back(text.str());
    }
    const auto elements = [&](const Matrix& matrix) {
      return (key.batch - 1) * matrix.batch_stride + (matrix.columns - 1) * matrix.leading + matrix.rows;
    };
    trial.operands = {elements(key.right), elements(key.left), std::max(key.m, key.n), elements(key.result)};
    trial.run = [&](size_t candidate, const std::vector<void*>& memory, void* workspace) {
      algorithm = found[candidate].algo;
      run(ctx, key, memory[0], memory[1], memory[2], memory[3], workspace);
    };
    algorithm = found[choose_plan(ctx, trial)].algo;
  }

  void run(CudaContext& ctx, const Key& key, const void* a, const void* b, const void* bias, void* y,
           void* workspace) const {
    if (key.epilogue != CUBLASLT_EPILOGUE_DEFAULT) set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const float one = 1.0f, zero = 0.0f;
    ENGINE_CUDA(CUBLASLT(cublasLtMatmul)(ctx.cublaslt(), product.get(), &one, b, left.get(), a, right.get(), &zero, y,
                                         result.get(), y, result.get(), &*algorithm, workspace, kWorkspace,
                                         ctx.stream()));
  }
};

using Plans = std::map<Key, Plan>;

uint32_t alignment_of(const void* memory) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  uint32_t alignment = kMostAlignment;
  while (address % alignment != 0) alignment /= 2;
  return alignment;
}

// A view's innermost two axes as a column-major matrix: as it lies in memory.
Matrix matrix_of(const ConstView& v) {
  const int64_t rows = v.shape[-2], columns = v.shape[-1];
  Matrix matrix{.alignment = alignment_of(v.data)};
  matrix.transposed = v.strides[-1] != 1 && columns != 1;
  if (matrix.transposed) {
    matrix.rows = rows, matrix.columns = columns, matrix.leading = v.strides[-1];
  } else {
    matrix.rows = columns, matrix.columns = rows, matrix.leading = rows == 1 ? columns : v.strides[-2];
  }
  return matrix;
}

// One outer axis of the product: its length and the step of each operand.
struct OuterAxis {
  int64_t size, a, b, y;
};

// The outer axes, outermost first, with neighbours merged where all three operands step evenly across them.
std::vector<OuterAxis> outer_axes(const ConstView& a, const ConstView& b, const View& y) {
  const auto step = [](const ConstView& v, int axis) { return v.shape.rank() == 2 ? 0 : v.strides[axis]; };
  std::vector<OuterAxis> axes;
  for (int axis = 0; axis < y.shape.rank() - 2; ++axis) {
    const OuterAxis next{y.shape[axis], step(a, axis), step(b, axis), y.strides[axis]};
    if (next.size == 1) continue;
    if (!axes.empty()) {
      OuterAxis& last = axes.back();
      if (last.a == next.a * next.size && last.b == next.b * next.size && last.y == next.y * next.size) {
        last = {last.size * next.size, next.a, next.b, next.y};
        continue;
      }
    }
    axes.push_back(next);
  }
  return axes;
}

const void* moved(const void* memory, int64_t elements, DType dtype) {
  return static_cast<const char*>(memory) + elements * size_of(dtype);
}

// False, and nothing done, where cuBLASLt has no algorithm for the gradient of a bias.
bool multiply(CudaContext& ctx, const Key& key, const void* a, const void* b, const void* bias, void* y) {
  const Plan& plan = ctx.cache<Plans>().try_emplace(key, ctx, key).first->second;
  if (plan.algorithm) plan.run(ctx, key, a, b, bias, y, ctx.workspace(kWorkspace));
  return plan.algorithm.has_value();
}

// The epilogue that computes f(x + bias), or DEFAULT where cuBLASLt has none.
cublasLtEpilogue_t epilogue_of(const Unary& f, bool bias) {
  if (is_identity(f)) return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  if (f.op == Unary::gelu_tanh) return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  return CUBLASLT_EPILOGUE_DEFAULT;
}

// As multiply(), of all products.
bool multiply(CudaContext& ctx, cublasLtEpilogue_t epilogue, const ConstView& a, const ConstView& b, const void* bias,
              const View& y) {
  Key key{.m = a.shape[-2], .n = b.shape[-1], .k = a.shape[-1], .dtype = y.dtype, .products = f32_products()};
  key.left = matrix_of(b), key.right = matrix_of(a), key.result = matrix_of(y);
  key.epilogue = epilogue, key.bias_alignment = alignment_of(bias);
  std::vector<OuterAxis> axes = outer_axes(a, b, y);
  if (!axes.empty()) {
    key.batch = axes.back().size;
    key.left.batch_stride = axes.back().b, key.right.batch_stride = axes.back().a,
    key.result.batch_stride = axes.back().y;
    axes.pop_back();
  }
  int64_t batches = 1;  // over the axes that are not one strided batch
  for (const OuterAxis& axis : axes) batches *= axis.size;
  for (int64_t i = 0; i < batches; ++i) {
    int64_t rest = i, a_offset = 0, b_offset = 0, y_offset = 0;
    for (size_t axis = axes.size(); axis-- > 0; rest /= axes[axis].size) {
      const int64_t index = rest % axes[axis].size;
      a_offset += index * axes[axis].a, b_offset += index * axes[axis].b, y_offset += index * axes[axis].y;
    }
    const void* const a_memory = moved(a.data, a_offset, a.dtype);
    const void* const b_memory = moved(b.data, b_offset, b.dtype);
    void* const y_memory = const_cast<void*>(moved(y.data, y_offset, y.dtype));
    key.left.alignment = alignment_of(b_memory), key.right.alignment = alignment_of(a_memory);
    key.result.alignment = alignment_of(y_memory);
    if (!multiply(ctx, key, a_memory, b_memory, bias, y_memory)) return false;
  }
  return true;
}

}  // namespace

void forget_matmul_plans(CudaContext& ctx) { ctx.cache<Plans>().clear(); }

// BGRADB adds up what cuBLASLt calls B, our dy^T, over the terms of the product, our rows: a number per column of D.
void linear_backward_weight(CudaContext& ctx, ConstView dy, ConstView x, View dw, View db) {
  const bool empty = x.elements() == 0 || dy.elements() == 0;
  if (!empty && multiply(ctx, CUBLASLT_EPILOGUE_BGRADB, transposed(dy), x, db.data, dw)) return;
  matmul(ctx, {Unary::affine}, transposed(dy), x, {}, dw);
  reduce_forward(ctx, {Reduce::sum, 0, 1}, dy, db);
}

void matmul(CudaContext& ctx, const Unary& f, ConstView a, ConstView b, ConstView bias, View y) {
  if (y.elements() == 0) return;
  if (a.shape[-1] == 0) {
    fill(ctx, y, 0.0);
    return activate(ctx, f, bias, y);
  }
  merge_products(a, b, y);
  const cublasLtEpilogue_t epilogue = epilogue_of(f, bias.defined());
  const bool fused = epilogue != CUBLASLT_EPILOGUE_DEFAULT;
  multiply(ctx, epilogue, a, b, fused ? bias.data : nullptr, y);
  if (!fused) activate(ctx, f, bias, y);
}

}  // namespace engine
