// The hook through which profilers see every op, forward and backward.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernels/types.h"

namespace engine {

// One pass of one op.
struct OpPass {
  const char* op;     // the name that it is recorded under (engine/autograd.h)
  bool backward;      // else forward
  uint64_t sequence;  // the same number in both passes
  Shape shape;        // of the first input; backward: of the first output
  double flop = 0;    // forward, of products, convolutions, attention and LSTMs: two per multiply-add; otherwise 0
};

class Profiler {
 public:
  virtual ~Profiler() = default;
  // On the thread that queues the pass's work, before and after it does. Passes nest.
  virtual void begin(const OpPass& pass) = 0;
  virtual void end() = 0;
};

// What is told of every pass; null: nobody. With CUDA it is NVTX's (Nsight) where such a tool is attached.
inline std::atomic<Profiler*> profiler = nullptr;

// Bytes of CPU memory that tensors and kernels hold at this moment.
int64_t cpu_bytes_in_use();

class ProfiledPass {
 public:
  explicit ProfiledPass(const OpPass& pass) : profiler_(profiler.load(std::memory_order_relaxed)) {
    if (profiler_ != nullptr) profiler_->begin(pass);
  }
  ~ProfiledPass() {
    if (profiler_ != nullptr) profiler_->end();
  }
  ProfiledPass(const ProfiledPass&) = delete;
  ProfiledPass& operator=(const ProfiledPass&) = delete;

 private:
  Profiler* profiler_;
};

}  // namespace engine
