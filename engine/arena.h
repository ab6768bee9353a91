// The memory of a model's parameters: all values in one flat tensor, all gradients in another, so that clipping, the
// optimizer, zeroing and copying are single passes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace engine {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Laid out once, when the model is complete: parameters move into the arena (every handle on them sees the new memory)
// and from then on their gradients are written into grads(). Tensors start at multiples of 256 bytes; the gaps are zero
// and stay zero. Order: trainable before frozen, weights (which decay) before biases and norm parameters (rank below 2,
// which do not), then the order given. A tensor given under two names has one place.
class ParameterArena {
 public:
  // A contiguous range [begin, end) of elements whose parameters are treated alike.
  struct Group {
    bool frozen;
    bool decay;
    int64_t begin, end;
  };
  struct Slot {
    std::string name;
    Tensor tensor;
    int64_t begin;  // element in values()
  };

  // All tensors of one float type on one device. `is_frozen` says by name which parameters are not trained; their
  // requires_grad goes off.
  ParameterArena(const std::vector<NamedTensor>& parameters, const std::vector<NamedTensor>& buffers,
                 const std::function<bool(const std::string&)>& is_frozen = {});

  const Tensor& values() const { return values_; }    // (elements)
  const Tensor& grads() const { return grads_; }      // (trainable elements): the start of values() that is trained
  const Tensor& buffers() const { return buffers_; }  // (elements); undefined where there are none
  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<Slot>& slots() const { return slots_; }
  int64_t trainable_elements() const { return trainable_; }

  // Before a backward pass: the first gradient that arrives at a parameter replaces what grads() held.
  void zero_grad() const;
  // After it: zeroes the gradient of every parameter that none arrived at.
  void finish_grad() const;

 private:
  Tensor values_, grads_, buffers_;
  std::vector<Group> groups_;
  std::vector<Slot> slots_;
  int64_t trainable_ = 0;
};

}  // namespace engine
