#include "engine/random.h"

#include <cmath>
#include <numbers>

#include "kernels/philox.h"

namespace engine {

uint32_t Random::bits() {
  if (used_ == 4) {
    block_ =
        philox(seed_, {position_++, substream_, static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)});
    used_ = 0;
  }
  return block_[static_cast<size_t>(used_++)];
}

double Random::uniform() {
  const uint64_t high = bits(), low = bits();
  return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
}

double Random::uniform(double low, double high) { return low + (high - low) * uniform(); }

uint64_t Random::below(uint64_t bound) {
  ENGINE_CHECK(bound > 0, "Random::below: the bound must be positive");
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;  // draws at or above it would favour small numbers
  for (;;) {
    const uint64_t high = bits(), draw = high << 32 | bits();
    if (draw < limit) return draw % bound;
  }
}

double Random::normal() {
  const double u = 1.0 - uniform();  // (0, 1]
  const double v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::vector<int64_t> Random::permutation(int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[below(i)]);
  return order;
}

namespace {

template <class Draw>
Tensor filled(const Shape& shape, DType dtype, const Draw& draw) {
  if (!ops_compute) return Tensor::empty(shape, dtype);
  const Tensor exact = Tensor::empty(shape, DType::f64);
  for (double& value : exact.values<double>()) value = draw();
  const Tensor result = Tensor::empty(shape, dtype);
  result.copy_from(exact);
  return result;
}

}  // namespace

Tensor uniform(const Shape& shape, double low, double high, Random& random, DType dtype) {
  return filled(shape, dtype, [&] { return random.uniform(low, high); });
}

Tensor normal(const Shape& shape, double mean, double deviation, Random& random, DType dtype) {
  return filled(shape, dtype, [&] { return mean + deviation * random.normal(); });
}

uint64_t stream_of(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

StepRandom& StepRandom::current() {
  thread_local StepRandom state;
  return state;
}

void StepRandom::begin_step(const Tensor& step) {
  ENGINE_CHECK(step.elements() == 1 && step.dtype() == DType::i64, "begin_step: expected one i64, got ", step.shape(),
               " ", step.dtype());
  step_ = step;
  stream_ = 0;
}

const Tensor& StepRandom::step(Device device) {
  if (!step_ || step_.device() != device) step_ = Tensor::zeros({1}, DType::i64, device);
  return step_;
}

}  // namespace engine
