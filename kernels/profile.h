// The hook through which profilers see every op, forward and backward.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <utility>

#include "kernels/types.h"

namespace engine {

// One pass of one op.
struct OpPass {
  const char* op;          // the name that it is recorded under (engine/autograd.h)
  bool backward;           // else forward
  uint64_t sequence;       // the same number in both passes
  Shape shape;             // of the first input; backward: of the first output
  double flop = 0;         // forward, of products, convolutions, attention and LSTMs: two per multiply-add; otherwise 0
  const char* layer = "";  // in whose forward pass the op is (layers/module.h); never freed. "" outside of networks
};

class Profiler {
 public:
  virtual ~Profiler() = default;
  // On the thread that queues the pass's work, before and after it does. Passes nest.
  virtual void begin(const OpPass& pass) = 0;
  virtual void end() = 0;
  // What a pass is a function of and what it gives, in bytes; 0: not there. Forward: inputs and outputs; backward:
  // gradients of the outputs and of the inputs. It is the pass that this thread began last, ended or not, or one of
  // another name that nobody was told of: of an op that only looks at its input in another way.
  virtual void operands(const char* op, std::span<const int64_t> from, std::span<const int64_t> to) {
    static_cast<void>(op), static_cast<void>(from), static_cast<void>(to);
  }
};

// What is told of every pass; null: nobody. With CUDA it is NVTX's (Nsight) where such a tool is attached.
inline std::atomic<Profiler*> profiler = nullptr;

// The innermost layer that computes on this thread.
inline thread_local const char* current_layer = "";

class LayerScope : NonCopyable {
 public:
  explicit LayerScope(const char* layer) : outer_(std::exchange(current_layer, layer)) {}
  ~LayerScope() { current_layer = outer_; }

 private:
  const char* outer_;
};

// Bytes of CPU memory that tensors and kernels hold at this moment.
int64_t cpu_bytes_in_use();

class ProfiledPass : NonCopyable {
 public:
  explicit ProfiledPass(const OpPass& pass) : profiler_(profiler.load(std::memory_order_relaxed)) {
    if (profiler_ != nullptr) profiler_->begin(pass);
  }
  ~ProfiledPass() {
    if (profiler_ != nullptr) profiler_->end();
  }

 private:
  Profiler* profiler_;
};

}  // namespace engine
