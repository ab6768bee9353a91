// cuBLASLt's matrix product by loops over the column-major matrices that the descriptors say. Its heuristic names
// several algorithms, which differ by the time they seem to take; the fastest of them computes something else.
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <cmath>
#include <cstring>
#include <iterator>
#include <numbers>

#include "tests/fake_cuda/fake_cuda.h"

using engine::fake_cuda::faults;

namespace {

constexpr double kMilliseconds[] = {3, 2, 0.5, 5, 1, 4};  // of each algorithm
constexpr uint64_t kAlgorithms = std::size(kMilliseconds), kWrong = 2, kMark = 0x57A2D1;

struct Product {
  cublasComputeType_t compute;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  cudaDataType_t bias_type = CUDA_R_32F;
};
struct Layout {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t leading;
  int32_t batch = 1;
  int64_t stride = 0;
};

double load(const void* memory, cudaDataType_t type, int64_t index) {
  if (type == CUDA_R_16BF) return __bfloat162float(static_cast<const __nv_bfloat16*>(memory)[index]);
  return static_cast<const float*>(memory)[index];
}
void store(void* memory, cudaDataType_t type, int64_t index, float value) {
  if (type == CUDA_R_16BF)
    static_cast<__nv_bfloat16*>(memory)[index] = __float2bfloat16_rn(value);
  else
    static_cast<float*>(memory)[index] = value;
}

double epilogue(const Product& p, int64_t row, double x) {
  const auto e = static_cast<int>(p.epilogue);
  if (e & CUBLASLT_EPILOGUE_BIAS) x += load(p.bias, p.bias_type, row);
  if (e & CUBLASLT_EPILOGUE_RELU) x = x < 0 ? 0 : x;
  if ((e & CUBLASLT_EPILOGUE_GELU) == CUBLASLT_EPILOGUE_GELU)
    x = 0.5 * x * (1 + std::tanh(std::numbers::sqrt2 * std::numbers::inv_sqrtpi * (x + 0.044715 * x * x * x)));
  return x;
}

void multiply(const Product& p, const void* a, const Layout& la, const void* b, const Layout& lb, void* d,
              const Layout& ld, bool wrong) {
  const auto k = static_cast<int64_t>(p.transpose_a == CUBLAS_OP_N ? la.columns : la.rows);
  for (int64_t batch = 0; batch < ld.batch; ++batch)
    for (int64_t column = 0; column < static_cast<int64_t>(ld.columns); ++column)
      for (int64_t row = 0; row < static_cast<int64_t>(ld.rows); ++row) {
        double sum = 0;
        for (int64_t i = 0; i < k; ++i) {
          const int64_t at = p.transpose_a == CUBLAS_OP_N ? row + i * la.leading : i + row * la.leading;
          const int64_t bt = p.transpose_b == CUBLAS_OP_N ? i + column * lb.leading : column + i * lb.leading;
          sum += load(a, la.type, batch * la.stride + at) * load(b, lb.type, batch * lb.stride + bt);
        }
        store(d, ld.type, batch * ld.stride + row + column * ld.leading, static_cast<float>(epilogue(p, row, sum)));
      }
  if (p.epilogue == CUBLASLT_EPILOGUE_BGRADB)
    for (int64_t column = 0; column < static_cast<int64_t>(ld.columns); ++column) {
      double sum = 0;
      for (int64_t i = 0; i < k; ++i)
        sum += load(b, lb.type, p.transpose_b == CUBLAS_OP_N ? i + column * lb.leading : column + i * lb.leading);
      store(const_cast<void*>(p.bias), p.bias_type, column, static_cast<float>(sum));
    }
  if (wrong) {  // one element of the last product
    const auto last = static_cast<int64_t>(ld.rows) - 1 + (static_cast<int64_t>(ld.columns) - 1) * ld.leading;
    const int64_t at = (ld.batch - 1) * ld.stride + last;
    store(d, ld.type, at, static_cast<float>(1.5 * load(d, ld.type, at) + 1));
  }
}

template <class To, class From>
To* as(From* handle) {
  return reinterpret_cast<To*>(handle);
}

cublasStatus_t status() {
  return engine::fake_cuda::status() != 0 ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

const char* cublasLtGetStatusName(cublasStatus_t) { return "CUBLAS_STATUS_FAKE"; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = as<cublasLtContext>(new char);
  return status();
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete as<char>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion() { return 130199; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* descriptor, cublasComputeType_t compute, cudaDataType_t) {
  *descriptor = as<cublasLtMatmulDescOpaque_t>(new Product{.compute = compute});
  return status();
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t descriptor) {
  delete as<Product>(descriptor);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  Product& p = *as<Product>(descriptor);
  void* const target = attribute == CUBLASLT_MATMUL_DESC_TRANSA           ? static_cast<void*>(&p.transpose_a)
                       : attribute == CUBLASLT_MATMUL_DESC_TRANSB         ? static_cast<void*>(&p.transpose_b)
                       : attribute == CUBLASLT_MATMUL_DESC_EPILOGUE       ? static_cast<void*>(&p.epilogue)
                       : attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER   ? static_cast<void*>(&p.bias)
                       : attribute == CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE ? static_cast<void*>(&p.bias_type)
                                                                          : nullptr;
  if (target == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(target, value, bytes);
  return status();
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  if (leading < static_cast<int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = as<cublasLtMatrixLayoutOpaque_t>(new Layout{type, rows, columns, leading});
  return status();
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete as<Layout>(layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  Layout& l = *as<Layout>(layout);
  void* const target = attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT            ? static_cast<void*>(&l.batch)
                       : attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET ? static_cast<void*>(&l.stride)
                                                                                  : nullptr;
  if (target == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(target, value, bytes);
  return status();
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = as<cublasLtMatmulPreferenceOpaque_t>(new char);
  return status();
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete as<char>(preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, size_t) {
  return status();
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t descriptor, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int most,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  *count = 0;
  if (faults().no_matmul_algorithm) return status();
  if (faults().no_bias_gradient && as<Product>(descriptor)->epilogue == CUBLASLT_EPILOGUE_BGRADB)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  for (; *count < most && *count < static_cast<int>(kAlgorithms); ++*count) {
    results[*count] = {};
    results[*count].algo.data[0] = static_cast<uint64_t>(*count);
    results[*count].algo.data[7] = kMark;
  }
  return status();
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t descriptor, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void*, cublasLtMatrixLayout_t, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void*, size_t,
                              cudaStream_t) {
  if (*static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const Product p = *as<Product>(descriptor);
  const Layout la = *as<Layout>(a_layout), lb = *as<Layout>(b_layout), ld = *as<Layout>(d_layout);
  const uint64_t rows = p.transpose_a == CUBLAS_OP_N ? la.rows : la.columns;
  const uint64_t columns = p.transpose_b == CUBLAS_OP_N ? lb.columns : lb.rows;
  const uint64_t a_terms = p.transpose_a == CUBLAS_OP_N ? la.columns : la.rows;
  const uint64_t b_terms = p.transpose_b == CUBLAS_OP_N ? lb.rows : lb.columns;
  if (rows != ld.rows || columns != ld.columns || a_terms != b_terms || la.batch != ld.batch || lb.batch != ld.batch)
    return CUBLAS_STATUS_INVALID_VALUE;
  const uint64_t chosen = algorithm->data[0];
  if (chosen >= kAlgorithms || algorithm->data[7] != kMark) return CUBLAS_STATUS_INVALID_VALUE;
  engine::fake_cuda::submit([=] {
    engine::fake_cuda::pass_time(kMilliseconds[chosen]);
    multiply(p, a, la, b, lb, d, ld, chosen == kWrong);
  });
  return status();
}

}  // extern "C"
