// What the CUDA backend does when CUDA fails, by faults planted in the stand-in for its libraries (tests/fake_cuda).
#include <doctest/doctest.h>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "engine/recording.h"
#include "tests/cuda_device.h"
#include "tests/fake_cuda/fake_cuda.h"

namespace engine::test {
namespace {

using fake_cuda::faults;

// Faults as they were, at the end of the scope.
struct Restore {
  fake_cuda::Faults before = faults();
  ~Restore() { faults() = before; }
};

// The message and the code of what `work` throws; empty and 0 where it throws nothing.
std::pair<std::string, int> failure(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return {error.what(), error.code()};
  }
  return {"", 0};
}

// Forward and backward through a convolution, a norm, attention and a product.
double work() {
  Random random(4);
  const auto draw = [&](const Shape& shape) { return uniform(shape, -1, 1, random).to(kCuda).set_requires_grad(); };
  const Tensor x = draw({2, 5, 6, 8}), w = draw({8, 3, 3, 8}), scale = draw({8}), shift = draw({8});
  Conv2d same;
  same.pad_h = same.pad_w = 1;
  const Tensor y = layer_norm(conv2d(x, w, {}, same), scale, shift);
  const Tensor z = matmul(y.reshape({60, 8}), draw({8, 7}));
  const Tensor loss = mean(square(z));
  loss.backward();
  return loss.item();
}

}  // namespace

TEST_CASE("CUDA faults: no memory at any allocation: code 80, nothing leaks, and the next call works") {
  const double expected = work();
  const size_t bytes = fake_cuda::allocated_bytes();
  const int64_t before = fake_cuda::allocations();
  CHECK(work() == expected);
  const int64_t allocations = fake_cuda::allocations() - before;
  CHECK(allocations > 20);
  for (int64_t n = 1; n <= allocations; ++n) {
    INFO("allocation ", n, " of ", allocations);
    const Restore restore;
    faults().fail_allocation = n;
    const auto [message, code] = failure([] { work(); });
    CHECK(code == exit_code::kDeviceMemory);
    CHECK(message.find("out of device memory") != std::string::npos);
    CHECK(fake_cuda::allocated_bytes() == bytes);
  }
  CHECK(work() == expected);
}

TEST_CASE("CUDA faults: no memory while work is recorded") {
  const Tensor x = Tensor::full({300}, 2.0, DType::f32, kCuda);
  const auto body = [&] { square(add(x, x)); };
  body();
  const size_t bytes = fake_cuda::allocated_bytes();
  {
    const Restore restore;
    faults().fail_allocation = 2;
    CHECK(failure([&] { record_work(kCuda, body); }).second == exit_code::kDeviceMemory);
  }
  CHECK(fake_cuda::allocated_bytes() == bytes);
  record_work(kCuda, body)->replay();
  CHECK(fake_cuda::allocated_bytes() == bytes);
}

TEST_CASE("CUDA faults: an error that stays names itself and how to find its cause") {
  const Tensor x = Tensor::full({300}, 2.0, DType::f32, kCuda);
  const Restore restore;
  constexpr int kLaunchFailure = 719;
  faults().sticky_status = kLaunchFailure;
  const auto [message, code] = failure([&] { add(x, x); });
  CHECK(code == exit_code::kInternal);
  CHECK(message.find("719") != std::string::npos);
  CHECK(message.find("CUDA_LAUNCH_BLOCKING=1") != std::string::npos);
}

TEST_CASE("CUDA faults: no driver, no device, a device too old, a device that is not there") {
  const Restore restore;
  constexpr int kInsufficientDriver = 35;
  faults().driver_status = kInsufficientDriver;
  CHECK(!cuda_available());
  CHECK(cuda_unavailable_reason().find("driver") != std::string::npos);
  faults().driver_status = 0;
  faults().devices = 0;
  CHECK(cuda_unavailable_reason() == "this machine shows no CUDA device");
  faults().devices = 2;
  CHECK(failure([] {
          Tensor::zeros({1}, DType::f32, {DeviceType::cuda, 5});
        }) == std::pair<std::string, int>("device cuda:5: this machine has 2 CUDA devices; the last one is cuda:1",
                                          exit_code::kNoDevice));
  faults().compute_capability = 75;
  const auto [message, code] = failure([] { Tensor::zeros({1}, DType::f32, {DeviceType::cuda, 1}); });
  CHECK(code == exit_code::kNoDevice);
  CHECK(message.find("7.5 is older than 8.0") != std::string::npos);
}

TEST_CASE("CUDA faults: no algorithm for a product") {
  const Restore restore;
  faults().no_matmul_algorithm = true;
  const Tensor a = Tensor::full({31, 5}, 1.0, DType::f32, kCuda), b = Tensor::full({5, 37}, 1.0, DType::f32, kCuda);
  const auto [message, code] = failure([&] { matmul(a, b); });
  CHECK(code == exit_code::kInternal);
  CHECK(message.find("matmul: cuBLASLt has no algorithm for 1 products (31,5) by (5,37)") == 0);
}

}  // namespace engine::test
