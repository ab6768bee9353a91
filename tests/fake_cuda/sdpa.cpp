// Attention by plain loops in double, from the key of a plan alone. What cuDNN does not promise is made as bad as it
// may be: a workspace full of NaN, and NaN in the gradients of keys that are not seen.
#include <cuda_bf16.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cuda/execute_plan.h"
#include "tests/fake_cuda/fake_cuda.h"

namespace engine {
namespace {

using Bf16 = __nv_bfloat16;

// The rows of one head of one batch.
struct Head {
  Bf16* data;
  int64_t row;

  Head(void* memory, const SdpaKey::Strides& strides, int64_t n, int64_t h)
      : data(static_cast<Bf16*>(memory) + n * strides[0] + h * strides[2]), row(strides[1]) {}
  double operator()(int64_t at, int64_t d) const { return __bfloat162float(data[at * row + d]); }
  void set(int64_t at, int64_t d, double value) const { data[at * row + d] = __double2bfloat16(value); }
};

double dot(const SdpaKey& key, const Head& a, int64_t row_a, const Head& b, int64_t row_b) {
  double sum = 0;
  for (int64_t d = 0; d < key.depth; ++d) sum += a(row_a, d) * b(row_b, d);
  return sum;
}

struct Problem {
  const SdpaKey& key;
  const SdpaMemory& memory;
  SdpaKey::Strides contiguous{key.queries * key.heads * key.depth, key.heads* key.depth, key.depth};

  Head strided(size_t role, int64_t n, int64_t h) const { return {memory[role], key.strides[role], n, h}; }
  int64_t length(int64_t n) const {
    if (!key.lengths) return key.keys;
    const int32_t queries = static_cast<const int32_t*>(memory[SdpaRole::query_lengths])[n],
                  length = static_cast<const int32_t*>(memory[SdpaRole::key_lengths])[n];
    ENGINE_CHECK(queries == key.queries && length >= 1 && length <= key.keys, "fake cuDNN: lengths ", queries, " and ",
                 length);
    return length;
  }
  int64_t seen(int64_t n, int64_t s) const { return key.causal ? std::min(s + 1, length(n)) : length(n); }
  float& lse(int64_t n, int64_t h, int64_t s) const {
    return static_cast<float*>(memory[SdpaRole::lse])[(n * key.heads + h) * key.queries + s];
  }

  void forward(int64_t n, int64_t h) const {
    const Head q = strided(SdpaRole::q, n, h), k = strided(SdpaRole::k, n, h), v = strided(SdpaRole::v, n, h);
    const Head y(memory[SdpaRole::y], contiguous, n, h);
    for (int64_t s = 0; s < key.queries; ++s) {
      std::vector<double> weights;
      double sum = 0;
      for (int64_t l = 0; l < seen(n, s); ++l) sum += weights.emplace_back(std::exp(key.scale * dot(key, q, s, k, l)));
      lse(n, h, s) = static_cast<float>(std::log(sum));
      for (int64_t d = 0; d < key.depth; ++d) {
        double value = 0;
        for (size_t l = 0; l < weights.size(); ++l) value += weights[l] / sum * v(static_cast<int64_t>(l), d);
        y.set(s, d, value);
      }
    }
  }

  void backward(int64_t n, int64_t h) const {
    const Head q = strided(SdpaRole::q, n, h), k = strided(SdpaRole::k, n, h), v = strided(SdpaRole::v, n, h);
    const Head y(memory[SdpaRole::y], contiguous, n, h), dy(memory[SdpaRole::dy], contiguous, n, h);
    const auto elements = [&](int64_t rows) { return std::vector<double>(static_cast<size_t>(rows * key.depth)); };
    std::vector<double> dq = elements(key.queries), dk = elements(key.keys), dv = elements(key.keys);
    const auto at = [&](int64_t row, int64_t d) { return static_cast<size_t>(row * key.depth + d); };
    for (int64_t s = 0; s < key.queries; ++s) {
      const double own = dot(key, y, s, dy, s);
      for (int64_t l = 0; l < seen(n, s); ++l) {
        const double p = std::exp(key.scale * dot(key, q, s, k, l) - lse(n, h, s));
        const double dz = key.scale * p * (dot(key, dy, s, v, l) - own);
        for (int64_t d = 0; d < key.depth; ++d) {
          dq[at(s, d)] += dz * k(l, d);
          dk[at(l, d)] += dz * q(s, d);
          dv[at(l, d)] += p * dy(s, d);
        }
      }
    }
    const auto store = [&](size_t role, const std::vector<double>& values, int64_t rows, int64_t promised) {
      const Head head = strided(role, n, h);
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t d = 0; d < key.depth; ++d)
          head.set(row, d, row < promised ? values[at(row, d)] : std::numeric_limits<double>::quiet_NaN());
    };
    store(SdpaRole::dq, dq, key.queries, key.queries);
    store(SdpaRole::dk, dk, key.keys, length(n));
    store(SdpaRole::dv, dv, key.keys, length(n));
  }
};

}  // namespace

// Refuses rows and heads that are not aligned, as cuDNN's header library does.
std::shared_ptr<const SdpaPlan> make_sdpa_plan(CudaContext&, const SdpaKey& key) {
  for (const SdpaKey::Strides& strides : key.strides)
    for (const int64_t stride : strides)
      if (stride % 8 != 0) return nullptr;
  return std::make_shared<SdpaPlan>(SdpaPlan{key, "plain loops", 1000, {}});
}

void execute_plan(CudaContext&, const SdpaPlan& plan, const SdpaMemory& memory, void* workspace) {
  for (const void* operand : memory)
    ENGINE_CHECK(reinterpret_cast<uintptr_t>(operand) % kSdpaAlignment == 0, "fake cuDNN: a misaligned operand");
  fake_cuda::submit([key = plan.key, bytes = plan.workspace_bytes, memory, workspace] {
    std::memset(workspace, 0xFF, bytes);
    const Problem problem{key, memory};
    for (int64_t n = 0; n < key.batch; ++n)
      for (int64_t h = 0; h < key.heads; ++h)
        key.pass == SdpaKey::forward ? problem.forward(n, h) : problem.backward(n, h);
  });
}

}  // namespace engine
