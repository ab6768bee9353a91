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
//
// Where the model computes in bf16, values() holds the f32 master of every parameter, which the optimizer moves; the
// model's own handles are on rounded copies in copies(), and their gradients are bf16. Parameters of full precision
// stay f32 and are a group of their own.
class ParameterArena {
 public:
  // A contiguous range [begin, end) of elements whose parameters are treated alike.
  struct Group {
    bool frozen;
    bool decay;
    int64_t begin, end;
    Tensor values;  // the range in values()
    Tensor grads;   // undefined where frozen
    Tensor copies;  // the range in copies(); undefined where the model computes with the values themselves
  };
  struct Slot {
    std::string name;
    Tensor tensor;
    int64_t begin;    // element in values()
    Tensor gradient;  // its place among the gradients, flat; undefined where frozen
  };

  using NamePredicate = std::function<bool(const std::string& name)>;
  // All tensors of one float type on one device. `is_frozen`: which parameters are not trained; their requires_grad
  // goes off. `stays_f32`, where given: the tensors are f32, and the model is to compute in bf16 but for these
  // parameters.
  ParameterArena(const std::vector<NamedTensor>& parameters, const std::vector<NamedTensor>& buffers,
                 const NamePredicate& is_frozen = {}, const NamePredicate& stays_f32 = {});

  const Tensor& values() const { return values_; }  // (elements)
  // The gradients of the trainable elements, the start of values(); of the bf16 ones where the model computes in bf16,
  // those of full precision being the others' groups' own.
  const Tensor& grads() const { return grads_; }
  const Tensor& copies() const { return copies_; }
  const Tensor& buffers() const { return buffers_; }  // (elements); undefined where there are none
  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<Slot>& slots() const { return slots_; }
  int64_t trainable_elements() const { return trainable_; }
  // Where the value of this parameter is kept: itself, or its f32 master.
  Tensor master(const Tensor& parameter) const;

  // Before a backward pass: the first gradient that arrives at a parameter replaces what grads() held.
  void zero_grad() const;
  // After it: zeroes the gradient of every parameter that none arrived at.
  void finish_grad() const;

 private:
  Tensor values_, grads_, copies_, buffers_;
  std::vector<Group> groups_;
  std::vector<Slot> slots_;
  int64_t trainable_ = 0;
};

}  // namespace engine
