// Convolutions by plain loops, from the key of a plan alone (its engine gives a made-up time), with sums in double that
// are rounded once; and the description of a device that is not here.
#include <cuda_bf16.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <vector>

#include "kernels/cuda/execute_plan.h"
#include "tests/fake_cuda/fake_cuda.h"

namespace engine {
namespace {

double load(const void* memory, DType dtype, size_t index) {
  if (dtype == DType::bf16) return __bfloat162float(static_cast<const __nv_bfloat16*>(memory)[index]);
  return static_cast<const float*>(memory)[index];
}
void store(void* memory, DType dtype, size_t index, double value) {
  if (dtype == DType::bf16)
    static_cast<__nv_bfloat16*>(memory)[index] = __double2bfloat16(value);
  else
    static_cast<float*>(memory)[index] = static_cast<float>(value);
}

// A loop over the positions of a space.
template <class F>
void visit(const ConvKey::Space& space, const F& f) {
  for (int64_t t = 0; t < space[0]; ++t)
    for (int64_t h = 0; h < space[1]; ++h)
      for (int64_t w = 0; w < space[2]; ++w) f(ConvKey::Space{t, h, w});
}

// Where an element lies in a contiguous tensor with channels innermost.
size_t offset(const ConvKey::Space& sizes, int64_t channels, int64_t outer, const ConvKey::Space& at, int64_t channel) {
  int64_t flat = outer;
  for (size_t axis = 0; axis < 3; ++axis) flat = flat * sizes[axis] + at[axis];
  return static_cast<size_t>(flat * channels + channel);
}

// Calls f(position in x, w, y) for every product of the convolution.
template <class F>
void visit_products(const ConvKey& key, const F& f) {
  const int64_t depth = key.c / key.groups, outputs = key.k / key.groups;
  visit(key.y, [&](const ConvKey::Space& to) {
    visit(key.w, [&](const ConvKey::Space& tap) {
      ConvKey::Space from{};
      for (size_t axis = 0; axis < 3; ++axis) {
        from[axis] = to[axis] * key.stride[axis] + tap[axis] * key.dilation[axis] - key.pad[axis];
        if (from[axis] < 0 || from[axis] >= key.x[axis]) return;
      }
      for (int64_t n = 0; n < key.n; ++n)
        for (int64_t k = 0; k < key.k; ++k)
          for (int64_t c = 0; c < depth; ++c)
            f(offset(key.x, key.c, n, from, k / outputs * depth + c), offset(key.w, depth, k, tap, c),
              offset(key.y, key.k, n, to, k));
    });
  });
}

size_t elements(int64_t outer, const ConvKey::Space& sizes, int64_t channels) {
  return static_cast<size_t>(outer * sizes[0] * sizes[1] * sizes[2] * channels);
}

void convolve(const ConvKey& key, const ConvMemory& memory) {
  const bool to_x = key.pass == ConvKey::backward_input, to_w = key.pass == ConvKey::backward_weight;
  std::vector<double> sums(to_x   ? elements(key.n, key.x, key.c)
                           : to_w ? elements(key.k, key.w, key.c / key.groups)
                                  : elements(key.n, key.y, key.k));
  visit_products(key, [&](size_t x, size_t w, size_t y) {
    const double left = to_x ? load(memory.y, key.dtype, y) : load(memory.x, key.dtype, x);
    const double right = to_w ? load(memory.y, key.dtype, y) : load(memory.w, key.dtype, w);
    sums[to_x ? x : to_w ? w : y] += left * right;
  });
  for (size_t i = 0; i < sums.size(); ++i) {
    double sum = sums[i];
    if (key.epilogue != ConvKey::none) sum += load(memory.bias, key.dtype, i % static_cast<size_t>(key.k));
    if (key.epilogue == ConvKey::bias_relu && sum < 0) sum = 0;
    store(to_x ? memory.x : to_w ? memory.w : memory.y, key.dtype, i, sum);
  }
}

}  // namespace

DeviceDescription describe_device(CudaContext&) {
  std::ifstream file(ENGINE_SOURCE_DIR "/tests/device_descriptions/h100.json");
  return {std::string(std::istreambuf_iterator<char>(file), {})};
}

void execute_plan(CudaContext&, const ConvPlan& plan, const ConvMemory& memory, void* workspace) {
  for (const void* operand : {memory.x, memory.w, memory.y, memory.bias})
    ENGINE_CHECK(reinterpret_cast<uintptr_t>(operand) % kConvAlignment == 0, "fake cuDNN: a misaligned operand");
  ENGINE_CHECK(plan.plan != nullptr, "fake cuDNN: a plan without cuDNN's descriptor");
  const bool wrong = concat(text_of(plan.key), " => ", plan.engine) == fake_cuda::faults().wrong_convolution;
  const double milliseconds = wrong ? 0.5 : 1 + static_cast<double>(std::hash<std::string>{}(plan.engine) % 1000);
  fake_cuda::submit([key = plan.key, bytes = plan.workspace_bytes, memory, workspace, wrong, milliseconds] {
    fake_cuda::pass_time(milliseconds / 100);
    if (bytes > 0) std::memset(workspace, 0xFF, bytes);
    convolve(key, memory);
    void* const result = key.pass == ConvKey::forward          ? memory.y
                         : key.pass == ConvKey::backward_input ? memory.x
                                                               : memory.w;
    if (wrong) store(result, key.dtype, 0, 1.5 * load(result, key.dtype, 0) + 1);
  });
}

}  // namespace engine
