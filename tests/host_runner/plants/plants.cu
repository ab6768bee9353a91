// Runs the kernels of kernels.h on random inputs and compares them with plain loops: all of them without a fault, or
// one with the fault named. check.sh tells which fault must be caught by what.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "kernels.h"

namespace {

bool right = true;

// Memory of the exact size, so that ASan sees both ends; aligned as cudaMalloc's.
template <class T>
std::unique_ptr<T[], decltype(&std::free)> allocate(size_t n) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, n * sizeof(T)) != 0) std::abort();
  return {static_cast<T*>(memory), &std::free};
}

template <class T = float>
auto random_values(size_t n) {
  static std::mt19937 generator(7);
  std::uniform_real_distribution<float> uniform(-1, 1);
  auto values = allocate<T>(n);
  for (size_t i = 0; i < n; ++i) values[i] = T(uniform(generator));
  return values;
}

template <class T>
auto poisoned(size_t n) {
  auto values = allocate<T>(n);
  std::memset(static_cast<void*>(values.get()), 0xff, n * sizeof(T));
  return values;
}

template <class Expected>
void compare(const char* what, const auto& values, size_t n, double tolerance, Expected expected) {
  for (size_t i = 0; i < n; ++i) {
    const double value = double(float(values[i])), wanted = expected(i);
    if (std::abs(value - wanted) <= tolerance) continue;
    std::printf("wrong result: %s[%zu] is %g, not %g\n", what, i, value, wanted);
    right = false;
    return;
  }
}

// bf16 rounds the result, of magnitude below 2, to 8 bits.
template <class T, Plant plant = Plant::none>
void run_scale_add() {
  const int n = 2003, offset = plant == Plant::misaligned_vector ? 1 : 0;
  const auto x = random_values<T>(n + offset), y = random_values<T>(n), before = allocate<T>(n);
  std::copy_n(y.get(), n, before.get());
  LAUNCH((scale_add<T, plant>), 3, 64, 0, nullptr, x.get() + offset, y.get(), 0.5f, n);
  compare("scale_add", y, n, sizeof(T) == 2 ? 0x1p-8 : 1e-6,
          [&](size_t i) { return 0.5 * double(float(x[i + offset])) + double(float(before[i])); });
}

template <Plant plant = Plant::none>
void run_normalise() {
  const int rows = 3, width = 300;
  const auto x = random_values(rows * width), y = poisoned<float>(rows * width);
  LAUNCH(normalise<plant>, rows, 96, 0, nullptr, x.get(), y.get(), width);
  std::vector<double> wanted(rows * width);
  for (int row = 0; row < rows; ++row) {
    double mean = 0, variance = 0;
    for (int i = 0; i < width; ++i) mean += x[row * width + i] / double(width);
    for (int i = 0; i < width; ++i) variance += std::pow(x[row * width + i] - mean, 2) / width;
    for (int i = 0; i < width; ++i) wanted[row * width + i] = (x[row * width + i] - mean) / std::sqrt(variance);
  }
  compare("normalise", y, rows * width, 1e-5, [&](size_t i) { return wanted[i]; });
}

template <class T, Plant plant = Plant::none>
void run_transpose() {
  const int rows = 70, columns = 45;
  const auto in = random_values<T>(rows * columns), out = poisoned<T>(rows * columns);
  LAUNCH((transpose<T, plant>), dim3(2, 3), dim3(32, 8), 0, nullptr, in.get(), out.get(), rows, columns);
  compare("transpose", out, rows * columns, 0,
          [&](size_t i) { return double(float(in[i % rows * columns + i / rows])); });
}

template <Plant plant = Plant::none>
void run_softmax() {
  const int rows = 3, width = 131;
  const auto x = random_values(rows * width), y = poisoned<float>(rows * width);
  LAUNCH(softmax<plant>, rows, 64, width * sizeof(float), nullptr, x.get(), y.get(), width);
  double sums[rows] = {};
  for (int i = 0; i < rows * width; ++i) sums[i / width] += std::exp(double(x[i]));
  compare("softmax", y, rows * width, 1e-7, [&](size_t i) { return std::exp(double(x[i])) / sums[i / width]; });
}

template <Plant plant = Plant::none>
void run_negate() {
  const int n = 301;
  const auto x = random_values(n + 1), y = poisoned<float>(n);
  LAUNCH(negate<plant>, 5, 64, 0, nullptr, x.get(), y.get(), n);
  compare("negate", y, n, 0, [&](size_t i) { return -double(x[i]); });
}

template <Plant plant = Plant::none>
void run_count_positive() {
  const int n = 301;
  const auto x = random_values(n);
  const auto count = allocate<int>(1);
  count[0] = 0;
  int wanted = 0;
  for (int i = 0; i < n; ++i) wanted += x[i] > 0;
  LAUNCH(count_positive<plant>, 5, 64, 0, nullptr, x.get(), count.get(), n);
  compare("count_positive", count, 1, 0, [&](size_t) { return wanted; });
}

template <Plant plant = Plant::none>
void run_square_shares() {
  const int n = 301, share = 70;
  const auto x = random_values(n), y = poisoned<float>(n);
  LAUNCH(square_shares<plant>, 5, 64, 0, nullptr, x.get(), y.get(), n, share);
  compare("square_shares", y, n, 1e-7, [&](size_t i) { return double(x[i]) * x[i]; });
}

template <Plant plant = Plant::none>
void run_sum() {
  const int n = 1001, blocks = 5;
  const auto x = random_values(n), partial = poisoned<float>(blocks), result = poisoned<float>(1);
  const auto finished = allocate<unsigned>(1);
  finished[0] = 0;
  double wanted = 0;
  for (int i = 0; i < n; ++i) wanted += x[i];
  LAUNCH(sum<plant>, blocks, 96, 0, nullptr, x.get(), partial.get(), finished.get(), result.get(), n);
  compare("sum", result, 1, 1e-4, [&](size_t) { return wanted; });
}

template <Plant plant = Plant::none>
void run_reverse_warp() {
  const int n = 96;
  const auto x = random_values(n), y = poisoned<float>(n);
  LAUNCH(reverse_warp<plant>, n / 32, 32, 0, nullptr, x.get(), y.get());
  compare("reverse_warp", y, n, 0, [&](size_t i) { return x[i / 32 * 32 + 31 - i % 32]; });
}

template <Plant plant = Plant::none>
void run_rotate() {
  const int n = 301, steps = 6;
  const auto a = random_values(n), b = poisoned<float>(n), before = allocate<float>(n);
  std::copy_n(a.get(), n, before.get());
  LAUNCH_COOPERATIVE(rotate<plant>, 5, 64, 0, nullptr, a.get(), b.get(), n, steps);
  compare("rotate", a, n, 0, [&](size_t i) { return before[(i + n - steps) % n]; });
}

void run_clean() {
  run_scale_add<float>();
  run_scale_add<__nv_bfloat16>();
  run_normalise();
  run_transpose<float>();
  run_transpose<__nv_bfloat16>();
  run_softmax();
  run_negate();
  run_count_positive();
  run_square_shares();
  run_sum();
  run_reverse_warp();
  run_rotate();
}

void launch_too_large(unsigned threads, size_t shared_bytes) {
  const auto x = random_values(2), y = poisoned<float>(1);
  LAUNCH(negate<Plant::none>, 1, threads, shared_bytes, nullptr, x.get(), y.get(), 1);
}

// `together`: as a cooperative launch.
void rotate_nothing(int blocks, bool together) {
  if (together)
    LAUNCH_COOPERATIVE(rotate<Plant::none>, blocks, 1024, 0, nullptr, nullptr, nullptr, 0, 1);
  else
    LAUNCH(rotate<Plant::none>, blocks, 1024, 0, nullptr, nullptr, nullptr, 0, 1);
}

__global__ void hold_49_kilobytes() {
  SHARED(char, first, [1024]);
  SHARED(char, rest, [48 << 10]);
  rest[0] = first[0];
}

const struct {
  const char* name;
  void (*run)();
} kRuns[] = {
    {"clean", run_clean},
    {"vector_past_end", run_scale_add<float, Plant::vector_past_end>},
    {"misaligned_vector", run_scale_add<float, Plant::misaligned_vector>},
    {"missing_barrier_before_reuse", run_normalise<Plant::missing_barrier_before_reuse>},
    {"missing_barrier_after_write", run_normalise<Plant::missing_barrier_after_write>},
    {"uninitialised_shared", run_normalise<Plant::uninitialised_shared>},
    {"divergent_barrier", run_normalise<Plant::divergent_barrier>},
    {"barrier_in_uneven_loop", run_normalise<Plant::barrier_in_uneven_loop>},
    {"shuffle_by_half_a_warp", run_normalise<Plant::shuffle_by_half_a_warp>},
    {"shuffle_with_wrong_mask", run_normalise<Plant::shuffle_with_wrong_mask>},
    {"shuffle_outside_mask", run_normalise<Plant::shuffle_outside_mask>},
    {"shared_index_out_of_bounds", run_transpose<float, Plant::shared_index_out_of_bounds>},
    {"missing_barrier_in_transpose", run_transpose<float, Plant::missing_barrier_in_transpose>},
    {"dynamic_shared_past_end", run_softmax<Plant::dynamic_shared_past_end>},
    {"dynamic_shared_uninitialised", run_softmax<Plant::dynamic_shared_uninitialised>},
    {"off_by_one_write", run_negate<Plant::off_by_one_write>},
    {"barrier_after_return", run_negate<Plant::barrier_after_return>},
    {"racing_sum", run_count_positive<Plant::racing_sum>},
    {"overlapping_blocks", run_square_shares<Plant::overlapping_blocks>},
    {"distant_blocks", run_square_shares<Plant::distant_blocks>},
    {"missing_fence", run_sum<Plant::missing_fence>},
    {"missing_syncwarp", run_reverse_warp<Plant::missing_syncwarp>},
    {"missing_grid_barrier", run_rotate<Plant::missing_grid_barrier>},
    {"divergent_grid_barrier", run_rotate<Plant::divergent_grid_barrier>},
    {"grid_barrier_after_return", run_rotate<Plant::grid_barrier_after_return>},
    {"grid_barrier_by_half_a_block", run_rotate<Plant::grid_barrier_by_half_a_block>},
    {"grid_barrier_one_by_one", [] { rotate_nothing(2, false); }},
    {"too_many_blocks_together", [] { rotate_nothing(9, true); }},
    {"block_of_2048", [] { launch_too_large(2048, 0); }},
    {"too_many_shared_variables", [] { LAUNCH(hold_49_kilobytes, 1, 1, 0, nullptr); }},
    {"too_much_shared_memory", [] { launch_too_large(32, 228 << 10); }},
};

}  // namespace

int main(int count, char** arguments) {
  for (const auto& [name, run] : kRuns) {
    if (count != 2 || std::strcmp(arguments[1], name) != 0) continue;
    run();
    return right ? 0 : 1;
  }
  std::fprintf(stderr, "usage: plants clean | NAME OF A FAULT\n");
  return 2;
}
