// Checks what device functions return, the order in which threads run, and launches from several host threads.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <thread>
#include <vector>

namespace {

using engine::host_runner::Order;
using engine::host_runner::set_order;

int failures = 0;

#define EXPECT(condition)                                                                     \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      std::printf("wrong result: %s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                                             \
    }                                                                                         \
  } while (false)

struct Lanes {
  unsigned ballot;
  int any, all, up, down, exchanged, broadcast, group_up, group_down, group_exchanged, group_broadcast, reduced_minimum;
  unsigned reduced_sum, half_sum;
  __nv_bfloat16 rounded;
  double wide;
};

// One block of 77 threads: two whole warps and 13 lanes.
__global__ void use_warps(Lanes* out, bool both_halves) {
  const int i = threadIdx.x, lane = i % 32, value = 1000 + i;
  const unsigned mask = 0xffffffffu;
  Lanes& my = out[i];
  my.ballot = __ballot_sync(mask, i % 3 == 0);
  my.any = __any_sync(mask, i == 40);
  my.all = __all_sync(mask, i < 64);
  my.up = __shfl_up_sync(mask, value, 3);
  my.broadcast = __shfl_sync(mask, value, 5);
  my.group_up = __shfl_up_sync(mask, value, 1, 4);
  my.rounded = __shfl_sync(mask, __nv_bfloat16(float(i)), 2);
  my.wide = __shfl_sync(mask, i + 0x1p-40, 7);
  my.reduced_sum = __reduce_add_sync(mask, unsigned(i));
  my.reduced_minimum = __reduce_min_sync(mask, -i);
  if (i >= 64) return;
  my.down = __shfl_down_sync(mask, value, 30);
  my.exchanged = __shfl_xor_sync(mask, value, 21);
  my.group_broadcast = __shfl_sync(mask, value, 6, 4);
  my.group_down = __shfl_down_sync(mask, value, 2, 8);
  my.group_exchanged = __shfl_xor_sync(mask, value, 9, 8);
  // The halves of a warp meet apart; or the upper one is at the whole warp's meeting already.
  if (lane < 16)
    my.half_sum = __reduce_add_sync(0x0000ffffu, unsigned(i));
  else if (both_halves)
    my.half_sum = __reduce_add_sync(0xffff0000u, unsigned(i));
  __syncwarp();
}

void check_warps(bool both_halves) {
  std::vector<Lanes> lanes(77);
  LAUNCH(use_warps, 1, 77, 0, nullptr, lanes.data(), both_halves);
  for (int i = 0; i < 77; ++i) {
    const int first = i / 32 * 32, count = std::min(32, 77 - first), lane = i - first;
    unsigned ballot = 0, sum = 0;
    for (int k = 0; k < count; ++k) {
      ballot |= (first + k) % 3 == 0 ? 1u << k : 0;
      sum += first + k;
    }
    const Lanes& my = lanes[i];
    EXPECT(my.ballot == ballot);
    EXPECT(my.any == (first == 32));
    EXPECT(my.all == (first < 64));
    EXPECT(my.up == 1000 + (lane < 3 ? i : i - 3));
    EXPECT(my.broadcast == 1000 + first + 5);
    EXPECT(my.group_up == 1000 + (i % 4 == 0 ? i : i - 1));
    EXPECT(float(my.rounded) == float(first + 2));
    EXPECT(my.wide == first + 7 + 0x1p-40);
    EXPECT(my.reduced_sum == sum);
    EXPECT(my.reduced_minimum == -(first + count - 1));
    if (i >= 64) continue;
    EXPECT(my.down == 1000 + (lane < 2 ? i + 30 : i));
    EXPECT(my.exchanged == 1000 + (i ^ 21));
    EXPECT(my.group_broadcast == 1000 + i / 4 * 4 + 2);
    EXPECT(my.group_down == 1000 + (i % 8 < 6 ? i + 2 : i));
    EXPECT(my.group_exchanged == 1000 + (lane / 8 % 2 ? i ^ 9 : i));  // only an earlier group may be read
    if (lane < 16 || both_halves) EXPECT(my.half_sum == unsigned(16 * (i / 16 * 16) + 120));
  }
}

struct Counters {
  int sum, least, most, swapped, bits;
  unsigned wrapped, claimed;
  unsigned long long large;
  float real;
};

__global__ void use_atomics(Counters* c) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&c->sum, i);
  atomicSub(&c->sum, 1);
  atomicMin(&c->least, -i);
  atomicMax(&c->most, i);
  atomicExch(&c->swapped, 7);
  atomicOr(&c->bits, 1 << i % 8);
  atomicInc(&c->wrapped, 9);
  atomicCAS(&c->claimed, 0u, unsigned(i + 1));
  atomicAdd(&c->large, 1ull << 33);
  atomicAdd(&c->real, 0.5f);
}

void check_atomics() {
  Counters c{};
  LAUNCH(use_atomics, 3, 32, 0, nullptr, &c);
  EXPECT(c.sum == 96 * 95 / 2 - 96);
  EXPECT(c.least == -95);
  EXPECT(c.most == 95);
  EXPECT(c.swapped == 7);
  EXPECT(c.bits == 255);
  EXPECT(c.wrapped == 96 % 10);
  EXPECT(c.claimed >= 1 && c.claimed <= 96);
  EXPECT(c.large == 96ull << 33);
  EXPECT(c.real == 48);
}

template <class T, int tag>
__device__ T* shared_slot() {
  SHARED(T, slot, [1]);
  return slot;
}

__global__ void use_shared(bool* distinct, bool* same) {
  SHARED_DYN(char, dynamic);
  void* slots[] = {shared_slot<float, 0>(), shared_slot<float, 1>(), shared_slot<int, 0>(), dynamic};
  *distinct = true;
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < i; ++k) *distinct &= slots[i] != slots[k];
  *same = slots[0] == shared_slot<float, 0>();
}

void check_shared() {
  bool distinct = false, same = false;
  LAUNCH(use_shared, 1, 1, 16, nullptr, &distinct, &same);
  EXPECT(distinct);
  EXPECT(same);
}

__global__ void use_numbers(int* failed, float nan, float infinite) {
  auto expect = [&](bool condition, int line) {
    if (!condition && *failed == 0) *failed = line;
  };
  expect(__float2int_rn(2.5f) == 2 && __float2int_rn(-3.5f) == -4 && __float2int_rz(-2.9f) == -2, __LINE__);
  expect(__float2int_rd(-2.1f) == -3 && __float2int_ru(2.1f) == 3, __LINE__);
  expect(__float2int_rz(nan) == 0 && __float2int_rz(infinite) == 2147483647, __LINE__);
  expect(__saturatef(nan) == 0 && __saturatef(-1.0f) == 0 && __saturatef(0.25f) == 0.25f, __LINE__);
  expect(__saturatef(2.0f) == 1 && max(nan, 1.0f) == 1 && min(1.0f, nan) == 1 && max(2, 3) == 3, __LINE__);
  expect(max(3u, 2) == 3 && min(-1, 5u) == 5 && max(1.0f, 2.5) == 2.5 && min(int64_t(7), int64_t(-7)) == -7, __LINE__);
  expect(rsqrtf(16.0f) == 0.25f && __frcp_rn(8.0f) == 0.125f && __fdividef(3.0f, 4.0f) == 0.75f, __LINE__);
  expect(__expf(0.0f) == 1 && __logf(1.0f) == 0 && __powf(3.0f, 2.0f) == 9 && tanhf(0.0f) == 0, __LINE__);
  expect(__umulhi(0xdeadbeefu, 0xd2511f53u) == 3069253336u && __mulhi(-5, 1 << 30) == -2, __LINE__);
  expect(__umul64hi(~0ull, 3) == 2 && __popc(0xf0f0u) == 8 && __clz(1) == 31 && __clz(0) == 32, __LINE__);
  expect(__ffs(8) == 4 && __ffs(0) == 0 && __clzll(1) == 63 && __popcll(~0ull) == 64, __LINE__);
  expect(__float_as_uint(1.0f) == 0x3f800000u && __uint_as_float(0x40000000u) == 2.0f, __LINE__);
  expect(__int_as_float(__float_as_int(-1.5f)) == -1.5f, __LINE__);
}

void check_numbers() {
  int failed = 0;
  LAUNCH(use_numbers, 1, 1, 0, nullptr, &failed, __builtin_nanf(""), __builtin_inff());
  if (failed) std::printf("the check of line %d fails\n", failed);
  EXPECT(failed == 0);
}

// Appends the number of each thread as it runs, before and after a barrier.
__global__ void record_order(int* order, int* count) {
  const int i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int threads = blockDim.x * blockDim.y * blockDim.z;
  order[atomicAdd(count, 1)] = 2 * threads * block + i;
  __syncthreads();
  order[atomicAdd(count, 1)] = 2 * threads * block + threads + i;
}

std::vector<int> run_order(dim3 grid = dim3(3, 1, 2), dim3 block = dim3(2, 3, 5)) {
  const int size = 2 * grid.x * grid.y * grid.z * block.x * block.y * block.z;
  std::vector<int> order(size);
  int count = 0;
  LAUNCH(record_order, grid, block, 0, nullptr, order.data(), &count);
  EXPECT(count == size);
  return order;
}

void check_order() {
  set_order(Order::forward);
  const std::vector<int> forward = run_order();
  EXPECT(std::is_sorted(forward.begin(), forward.end()));
  set_order(Order::reverse);
  const std::vector<int> reverse = run_order();
  const int threads = 30, blocks = 6;
  for (int i = 0; i < 2 * threads * blocks; ++i) {
    const int block = i / (2 * threads), half = i / threads % 2, thread = i % threads;
    EXPECT(reverse[i] == (blocks - 1 - block) * 2 * threads + half * threads + threads - 1 - thread);
  }
  set_order(Order::shuffled, 3);
  const std::vector<int> shuffled = run_order(), again = run_order();
  set_order(Order::shuffled, 3);
  EXPECT(run_order() == shuffled);
  EXPECT(again != shuffled);
  EXPECT(shuffled != forward);
  for (unsigned blocks_in_x = 1; blocks_in_x < 20; ++blocks_in_x) {
    std::vector<int> all = run_order(dim3(blocks_in_x), dim3(7));
    std::sort(all.begin(), all.end());
    std::vector<int> wanted(all.size());
    std::iota(wanted.begin(), wanted.end(), 0);
    EXPECT(all == wanted);
  }
  set_order(Order::forward);
}

__global__ void add_index(int* values) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  __syncthreads();
  values[i] += i;
}

void check_host_threads() {
  std::vector<std::vector<int>> values(3, std::vector<int>(600));
  std::vector<std::thread> threads;
  for (auto& own : values)
    threads.emplace_back([&own] {
      for (int k = 0; k < 3; ++k) LAUNCH(add_index, 6, 100, 0, nullptr, own.data());
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& own : values)
    for (int i = 0; i < 600; ++i) EXPECT(own[i] == 3 * i);
}

}  // namespace

int main() {
  check_warps(false);
  check_warps(true);
  check_atomics();
  check_shared();
  check_numbers();
  check_order();
  check_host_threads();
  return failures ? 1 : 0;
}
