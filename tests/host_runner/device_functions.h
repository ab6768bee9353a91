// CUDA's built-in device functions, which NVIDIA's headers declare for nvcc only: barriers, warp functions, atomics,
// cached loads and stores, fast maths, bits.
#pragma once

#include <math.h>

#include <atomic>
#include <bit>
#include <climits>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>

#include "runtime.h"

namespace engine::host_runner {

template <class T, class... Options>
concept OneOf = (std::same_as<T, Options> || ...);

template <class T>
concept Shuffled = OneOf<T, int, unsigned, long, unsigned long, long long, unsigned long long, float, double, __half,
                         __half2, __nv_bfloat16, __nv_bfloat162>;

inline unsigned this_lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32; }

template <Shuffled T>
T shuffle_value(unsigned mask, T value, unsigned source, Place place) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(mask, bits, source, place);
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

// As on the GPU, the access is atomic and orders no other memory.
template <class T, class Update>
T update_atomically(T* address, Update update) {
  const std::atomic_ref<T> word(*address);
  T before = word.load(std::memory_order_relaxed);
  while (!word.compare_exchange_weak(before, update(before), std::memory_order_relaxed)) {
  }
  return before;
}

template <class T>
concept AtomicInteger = OneOf<T, int, unsigned, unsigned long long>;
template <class T>
concept AtomicOrdered = AtomicInteger<T> || std::same_as<T, long long>;
template <class T>
concept AtomicNumber = AtomicInteger<T> || OneOf<T, float, double>;

// The names of CUDA, apart from the runner's own; opened to the kernel files at the end.
namespace device {

// Barriers and fences.
inline void __syncthreads(Place place = Place::here()) { sync_threads(place); }
inline void grid_barrier(Place place = Place::here()) { sync_grid(place); }
inline void __syncwarp(unsigned mask = ~0u, Place place = Place::here()) { sync_warp(mask, place); }
inline void __threadfence() { thread_fence(); }
inline void __threadfence_block() { thread_fence(); }
[[noreturn]] inline void __trap(Place place = Place::here()) { trap(place); }

// Shuffles: `width` splits the warp into groups; a source outside the group gives the lane's own value.
template <Shuffled T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, Place place = Place::here()) {
  const unsigned within = static_cast<unsigned>(width) - 1;
  const unsigned from = (this_lane() & ~within) | (static_cast<unsigned>(source) & within);
  return shuffle_value(mask, value, from, place);
}
template <Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, Place place = Place::here()) {
  const unsigned lane = this_lane(), within = static_cast<unsigned>(width) - 1;
  return shuffle_value(mask, value, (lane & within) >= delta ? lane - delta : lane, place);
}
template <Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, Place place = Place::here()) {
  const unsigned lane = this_lane(), within = static_cast<unsigned>(width) - 1;
  return shuffle_value(mask, value, delta <= within - (lane & within) ? lane + delta : lane, place);
}
template <Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, Place place = Place::here()) {
  const unsigned lane = this_lane(), within = static_cast<unsigned>(width) - 1;
  const unsigned from = lane ^ static_cast<unsigned>(bits);  // of an earlier group is allowed, of a later one is not
  return shuffle_value(mask, value, (from & ~within) > (lane & ~within) ? lane : from, place);
}

// Reductions and votes.
#define ENGINE_WARP_REDUCE(name, T, expression)                          \
  inline T name(unsigned mask, T value, Place place = Place::here()) {   \
    return static_cast<T>(reduce(                                        \
        mask, static_cast<uint64_t>(value),                              \
        [](uint64_t first, uint64_t second) {                            \
          const T a = static_cast<T>(first), b = static_cast<T>(second); \
          return static_cast<uint64_t>(expression);                      \
        },                                                               \
        place));                                                         \
  }
ENGINE_WARP_REDUCE(__reduce_add_sync, unsigned, a + b)
ENGINE_WARP_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
ENGINE_WARP_REDUCE(__reduce_max_sync, unsigned, a < b ? b : a)
ENGINE_WARP_REDUCE(__reduce_add_sync, int, a + b)
ENGINE_WARP_REDUCE(__reduce_min_sync, int, a < b ? a : b)
ENGINE_WARP_REDUCE(__reduce_max_sync, int, a < b ? b : a)
ENGINE_WARP_REDUCE(__reduce_and_sync, unsigned, a& b)
ENGINE_WARP_REDUCE(__reduce_or_sync, unsigned, a | b)
ENGINE_WARP_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
#undef ENGINE_WARP_REDUCE
inline unsigned __ballot_sync(unsigned mask, int predicate, Place place = Place::here()) {
  return __reduce_or_sync(mask, predicate ? 1u << this_lane() : 0u, place);
}
inline int __any_sync(unsigned mask, int predicate, Place place = Place::here()) {
  return __ballot_sync(mask, predicate, place) != 0;
}
inline int __all_sync(unsigned mask, int predicate, Place place = Place::here()) {
  return __ballot_sync(mask, !predicate, place) == 0;
}

// Atomics, for the types that nvcc takes too.
#define ENGINE_ATOMIC(name, Kind, expression)                                                      \
  template <Kind T>                                                                                \
  T name(T* address, std::type_identity_t<T> value) {                                              \
    return update_atomically(address, [&]([[maybe_unused]] T before) -> T { return expression; }); \
  }
ENGINE_ATOMIC(atomicAdd, AtomicNumber, before + value)
ENGINE_ATOMIC(atomicSub, AtomicInteger, before - value)
ENGINE_ATOMIC(atomicExch, AtomicNumber, value)
ENGINE_ATOMIC(atomicMin, AtomicOrdered, value < before ? value : before)
ENGINE_ATOMIC(atomicMax, AtomicOrdered, before < value ? value : before)
ENGINE_ATOMIC(atomicAnd, AtomicInteger, before& value)
ENGINE_ATOMIC(atomicOr, AtomicInteger, before | value)
ENGINE_ATOMIC(atomicXor, AtomicInteger, before ^ value)
#undef ENGINE_ATOMIC
template <AtomicInteger T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return update_atomically(address, [&](T before) { return before == expected ? value : before; });
}
inline unsigned atomicInc(unsigned* address, unsigned last) {
  return update_atomically(address, [&](unsigned before) { return before >= last ? 0 : before + 1; });
}

// Loads and stores with a cache hint.
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldca(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <class T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}

// Fast maths: here the full precision of the C library, of which the GPU's result is a few units in the last place off.
// The C library declares names such as __expf for its own use; macros keep out of their way.
#define __expf expf
#define __exp10f exp10f
#define __logf logf
#define __log2f log2f
#define __log10f log10f
#define __powf powf
#define __sinf sinf
#define __cosf cosf
#define __tanf tanf
#define __sincosf sincosf
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }  // NaN gives 0
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frsqrt_rn(float x) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); }

// As in CUDA: integers of one size, signed or not, or floating-point numbers, of which a NaN is ignored.
template <std::integral A, std::integral B>
requires(sizeof(A) == sizeof(B)) auto min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}
template <std::integral A, std::integral B>
requires(sizeof(A) == sizeof(B)) auto max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}
template <std::floating_point A, std::floating_point B>
auto min(A a, B b) {
  return std::fmin(a, b);
}
template <std::floating_point A, std::floating_point B>
auto max(A a, B b) {
  return std::fmax(a, b);
}

// Conversions saturate, and a NaN becomes 0.
inline int saturated_int(double x) {
  return x != x ? 0 : x <= INT_MIN ? INT_MIN : x >= INT_MAX ? INT_MAX : static_cast<int>(x);
}
inline int __float2int_rn(float x) { return saturated_int(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return saturated_int(x); }
inline int __float2int_rd(float x) { return saturated_int(std::floor(x)); }
inline int __float2int_ru(float x) { return saturated_int(std::ceil(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

inline int __mulhi(int a, int b) { return static_cast<int>((static_cast<int64_t>(a) * b) >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }

}  // namespace device
}  // namespace engine::host_runner

using namespace engine::host_runner::device;
