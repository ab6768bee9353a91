#include "train/ceilings.h"

#include <chrono>
#include <cmath>
#include <functional>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"

namespace engine {
namespace {

using Work = std::function<void()>;

// Of `repeats` times the work, with the device's queue empty before and after.
double window(Device device, const Work& work, int64_t repeats) {
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < repeats; ++i) work();
  on(device, [](auto& ctx) { synchronize(ctx); });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Of one call, in the fastest of some windows.
double seconds_of(Device device, const Work& work, bool quick) {
  constexpr double kWindow = 0.02;
  constexpr int kWindows = 8;
  int64_t repeats = 1;
  double best = window(device, work, repeats);
  while (!quick && best < kWindow) best = window(device, work, repeats *= 2);
  for (int i = 1; i < (quick ? 2 : kWindows); ++i) best = std::min(best, window(device, work, repeats));
  return best / static_cast<double>(repeats);
}

}  // namespace

Ceilings measure_ceilings(Device device, DType dtype, bool quick) {
  const bool cuda = device != kCpu;
  const int64_t elements = int64_t{1} << (quick ? 20 : cuda ? 28 : 25), side = quick ? 256 : cuda ? 8192 : 1024;
  const NoGrad no_grad;
  Random random(7, 1);
  Ceilings ceilings;
  {
    const Tensor from = Tensor::full({elements}, 0.5, dtype, device), to = Tensor::empty_like(from);
    const double seconds = seconds_of(
        device, [&] { to.copy_from(from); }, quick);
    ceilings.bytes_per_second = 2 * static_cast<double>(from.bytes()) / seconds;
  }
  const auto square = [&] { return cast(normal({side, side}, 0, 1, random), dtype).to(device); };
  const Tensor a = square(), b = square(), one = Tensor::full({1}, 0.5, dtype, device);
  ceilings.flop_per_second = 2 * std::pow(side, 3) /
                             seconds_of(
                                 device, [&] { matmul(a, b); }, quick);
  ceilings.op_seconds = seconds_of(
      device, [&] { relu(one); }, quick);
  return ceilings;
}

}  // namespace engine
