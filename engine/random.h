// Random numbers without hidden state: every draw is a function of (seed, stream, substream, position).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor.h"

namespace engine {

// A sequence of draws. Two sequences with any of the three numbers different are independent.
class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0, uint32_t substream = 0)
      : seed_(seed), stream_(stream), substream_(substream) {}

  uint32_t bits();
  double uniform();                         // [0, 1), 53 random bits
  double uniform(double low, double high);  // [low, high)
  uint64_t below(uint64_t bound);           // 0 .. bound-1, without bias; bound > 0
  double normal();                          // mean 0, variance 1 (Box-Muller)
  bool chance(double probability) { return uniform() < probability; }
  // A permutation of 0 .. count-1 (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t count);

 private:
  uint64_t seed_, stream_;
  uint32_t substream_, position_ = 0;
  int used_ = 4;
  std::array<uint32_t, 4> block_{};
};

// Tensors filled from `random`, element by element in row-major order; float types.
Tensor uniform(const Shape& shape, double low, double high, Random& random, DType dtype = DType::f32);
Tensor normal(const Shape& shape, double mean, double deviation, Random& random, DType dtype = DType::f32);

// A 64-bit number from a name, the same on every machine (FNV-1a); for giving parameters streams of their own.
uint64_t stream_of(std::string_view name);

// The random state of a training step, which ops that draw (dropout) take their key from. The step number is a
// one-element tensor in the device's memory, so that a recorded step draws afresh every time it is replayed.
class StepRandom {
 public:
  // The state that ops on this thread use.
  static StepRandom& current();

  void set_seed(uint64_t seed) { seed_ = seed; }
  uint64_t seed() const { return seed_; }
  // i64, one element. Called at the start of a forward pass: draws of the pass are numbered from 0 again.
  void begin_step(const Tensor& step);
  const Tensor& step(Device device);
  // The number of the next op in this pass that draws.
  uint32_t next_stream() { return stream_++; }

 private:
  uint64_t seed_ = 0;
  uint32_t stream_ = 0;
  Tensor step_;
};

}  // namespace engine
