// Reverse-mode differentiation. An op computes its outputs, then record()s a closure that turns the gradients of the
// outputs into gradients of the inputs. backward() calls the closures in reverse order of recording and adds up what
// arrives at each tensor; closures themselves never add.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "kernels/profile.h"

namespace engine {

using Grads = std::vector<Tensor>;
// Receives one gradient per output, undefined where nothing depended on that output; returns one per input, undefined
// where none is wanted. A gradient has the shape and type of its tensor.
using Backward = std::function<Grads(const Grads& dy)>;
// Called once per backward() with the leaf's final gradient, as soon as nothing more will be added to it.
using Hook = std::function<void(const Tensor& grad)>;

class Node : NonCopyable {
 public:
  explicit Node(const char* op_name);
  ~Node();  // iterative: a graph of a million nodes does not overflow the stack

  struct Output {
    Shape shape;
    DType dtype;
    Device device;
  };

  const char* name;
  const char* layer;  // OpPass::layer
  uint64_t sequence;  // grows with every node made; a node's inputs have smaller numbers
  std::vector<Edge> inputs;
  std::vector<Output> outputs;
  Backward backward;  // empty for a leaf, and once the graph was freed
  bool freed = false;

  // Leaves only. With a slot (a view into the gradient arena) the gradient is always written there.
  Tensor grad, slot;
  std::vector<Hook> hooks;
  bool is_leaf = false;

  // Nodes alive in the process; for tests of memory.
  static int64_t live();
};

// Declares `outputs` to be computed from `inputs` by an op called `name` whose derivative is `backward`, and returns
// them. Does nothing when no input requires a gradient or inside NoGrad. The closure captures what it needs by value;
// outputs must be captured as y.detach(), or the graph would hold itself alive.
Tensor record(const char* name, const std::vector<Tensor>& inputs, const Tensor& output, Backward backward);
std::vector<Tensor> record(const char* name, const std::vector<Tensor>& inputs, std::vector<Tensor> outputs,
                           Backward backward);

// True when ops on this tensor are being recorded: it requires a gradient and no NoGrad is active.
bool needs_grad(const Tensor& tensor);

// Alive while an op does its forward work on x and the like, of which profilers are told; flop as in OpPass. record()
// tells them of all operands.
ProfiledPass forward_pass(const char* op, const Tensor& x, double flop = 0);
// What record() tells profilers, for ops that are not differentiable (Profiler::operands).
void tell_operands(const char* op, const std::vector<Tensor>& from, const std::vector<Tensor>& to);

// Runs backward from `root`; frees the graph as it goes. See Tensor::backward.
void backward(const Tensor& root, const Tensor& seed);

// Calls `hook` when the gradient of `leaf` is final. Hooks run on the thread that called backward().
void add_hook(const Tensor& leaf, Hook hook);

// Makes backward() write the gradient of `leaf` into `slot`, a tensor of the same shape and type.
void set_grad_slot(const Tensor& leaf, const Tensor& slot);

// While alive, ops on this thread are not recorded; with `off` false they are, also within another one.
class NoGrad : NonCopyable {
 public:
  explicit NoGrad(bool off = true);
  ~NoGrad();

 private:
  bool previous_;
};

}  // namespace engine
