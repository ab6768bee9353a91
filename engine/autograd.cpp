#include "engine/autograd.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "kernels/copy.h"

namespace engine {
namespace {

std::atomic<uint64_t> next_sequence{1};
std::atomic<int64_t> live_nodes{0};
thread_local bool grad_enabled = true;

// Copies a gradient that `node` gave to `total`, or adds it.
void bring(const Node& node, const Tensor& gradient, bool adds, const Tensor& total) {
  const ProfiledPass pass({"accumulate", true, node.sequence, total.shape(), 0, node.layer});
  tell_operands("accumulate", {gradient, adds ? total : Tensor()}, {total});
  compute(total.device(), [&](auto& ctx) { adds ? accumulate(ctx, gradient, total) : copy(ctx, gradient, total); });
}

// Adds a further contribution to `total`: in place when nobody else sees its memory.
void add_to(const Node& node, Tensor& total, Tensor contribution) {
  if (!total) {
    total = std::move(contribution);
    return;
  }
  if (!total.unique()) total = total.clone();
  bring(node, contribution, true, total);
}

void add_to_leaf(const Node& node, Node& leaf, Tensor contribution) {
  if (!leaf.slot) return add_to(node, leaf.grad, std::move(contribution));
  bring(node, contribution, leaf.grad.defined(), leaf.slot);
  leaf.grad = leaf.slot;
}

void check_gradient(const Node& node, size_t input, const Tensor& gradient) {
  const Node::Output& expected = node.inputs[input].node->outputs[static_cast<size_t>(node.inputs[input].output)];
  ENGINE_CHECK(
      gradient.shape() == expected.shape && gradient.dtype() == expected.dtype && gradient.device() == expected.device,
      "backward of ", node.name, ": the gradient of input ", input, " is ", gradient.shape(), " ", gradient.dtype(),
      " on ", gradient.device(), ", the input is ", expected.shape, " ", expected.dtype, " on ", expected.device);
}

// The nodes that `root` depends on, newest first. A node's inputs are always older than itself, so this is an order in
// which every node comes after all of its users.
std::vector<std::shared_ptr<Node>> reachable(const std::shared_ptr<Node>& root, std::unordered_map<Node*, int>& uses) {
  std::vector<std::shared_ptr<Node>> found{root};
  uses[root.get()] = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const std::shared_ptr<Node> node = found[i];
    for (const Edge& edge : node->inputs)
      if (edge.node && uses[edge.node.get()]++ == 0) found.push_back(edge.node);
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a->sequence > b->sequence; });
  return found;
}

Node& leaf_of(const char* what, const Tensor& tensor) {
  ENGINE_CHECK(tensor.requires_grad() && tensor.edge().node->is_leaf, what,
               ": the tensor is not a leaf that requires a gradient");
  return *tensor.edge().node;
}

void run_hooks(const Node& leaf) {
  if (!leaf.grad) return;
  for (const Hook& hook : leaf.hooks) hook(leaf.grad);
}

}  // namespace

Node::Node(const char* op_name) : name(op_name), layer(current_layer), sequence(next_sequence++) { ++live_nodes; }

Node::~Node() {
  --live_nodes;
  // Nodes whose last owner was this one are destroyed by the outermost destructor's loop, not by recursion.
  thread_local std::vector<std::shared_ptr<Node>>* pending = nullptr;
  std::vector<std::shared_ptr<Node>> mine;
  const bool outermost = pending == nullptr;
  if (outermost) pending = &mine;
  for (Edge& edge : inputs)
    if (edge.node) pending->push_back(std::move(edge.node));
  backward = nullptr;  // captured tensors hold input nodes too, which `pending` now outlives
  if (!outermost) return;
  while (!mine.empty()) {
    const std::shared_ptr<Node> last = std::move(mine.back());
    mine.pop_back();
  }
  pending = nullptr;
}

int64_t Node::live() { return live_nodes; }

std::vector<Tensor> record(const char* name, const std::vector<Tensor>& inputs, std::vector<Tensor> outputs,
                           Backward closure) {
  tell_operands(name, inputs, outputs);
  if (std::none_of(inputs.begin(), inputs.end(), needs_grad)) return outputs;
  auto node = std::make_shared<Node>(name);
  for (const Tensor& input : inputs) node->inputs.push_back(input.defined() ? input.edge() : Edge{});
  for (const Tensor& output : outputs) node->outputs.push_back({output.shape(), output.dtype(), output.device()});
  node->backward = std::move(closure);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (is_float(outputs[i].dtype())) outputs[i].set_edge({node, static_cast<int>(i)});
  return outputs;
}

Tensor record(const char* name, const std::vector<Tensor>& inputs, const Tensor& output, Backward closure) {
  return record(name, inputs, std::vector<Tensor>{output}, std::move(closure))[0];
}

ProfiledPass forward_pass(const char* op, const Tensor& x, double flop) {
  return ProfiledPass({op, false, next_sequence, x.shape(), flop, current_layer});
}

void tell_operands(const char* op, const std::vector<Tensor>& from, const std::vector<Tensor>& to) {
  Profiler* const told = profiler.load(std::memory_order_relaxed);
  if (told == nullptr) return;
  const auto sizes = [](const std::vector<Tensor>& tensors) {
    std::vector<int64_t> bytes;
    for (const Tensor& tensor : tensors) bytes.push_back(tensor ? static_cast<int64_t>(tensor.bytes()) : 0);
    return bytes;
  };
  told->operands(op, sizes(from), sizes(to));
}

bool needs_grad(const Tensor& tensor) { return grad_enabled && tensor.requires_grad(); }

void backward(const Tensor& root, const Tensor& seed) {
  ENGINE_CHECK(root.requires_grad(), "backward: nothing to differentiate: no input of this tensor requires a gradient");
  ENGINE_CHECK(seed.defined() || root.elements() == 1, "backward: a tensor of shape ", root.shape(),
               " needs a seed gradient; reduce it to one element or pass one");
  if (seed)
    ENGINE_CHECK(seed.shape() == root.shape() && seed.dtype() == root.dtype(), "backward: seed ", seed.shape(), " ",
                 seed.dtype(), " for a tensor ", root.shape(), " ", root.dtype());
  const NoGrad no_grad;
  Tensor start = seed ? seed.detach() : Tensor::full(root.shape(), 1.0, root.dtype(), root.device());
  const auto [last, output] = root.edge();
  if (last->is_leaf) {
    add_to_leaf(*last, *last, std::move(start));
    return run_hooks(*last);
  }

  std::unordered_map<Node*, int> uses;
  std::vector<std::shared_ptr<Node>> order = reachable(last, uses);
  for (const auto& node : order)
    ENGINE_CHECK(!node->freed, "backward: the graph behind ", node->name,
                 " was freed by an earlier backward(); run the forward pass again");
  std::unordered_map<Node*, Grads> pending;
  pending[last.get()].resize(last->outputs.size());
  pending[last.get()][static_cast<size_t>(output)] = std::move(start);

  for (std::shared_ptr<Node>& node : order) {
    if (node->is_leaf) continue;
    Grads gradients;
    if (auto found = pending.find(node.get()); found != pending.end()) {
      Grads arrived = std::move(found->second);
      pending.erase(found);
      const ProfiledPass pass({node->name, true, node->sequence, node->outputs[0].shape, 0, node->layer});
      gradients = node->backward(arrived);
      tell_operands(node->name, arrived, gradients);
      ENGINE_CHECK(gradients.size() == node->inputs.size(), "backward of ", node->name, " returned ", gradients.size(),
                   " gradients for ", node->inputs.size(), " inputs");
    }
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const Edge& edge = node->inputs[i];
      if (!edge.node) continue;
      if (!gradients.empty() && gradients[i]) {
        check_gradient(*node, i, gradients[i]);
        if (edge.node->is_leaf) {
          add_to_leaf(*node, *edge.node, std::move(gradients[i]));
        } else {
          Grads& slots = pending[edge.node.get()];
          slots.resize(edge.node->outputs.size());
          add_to(*node, slots[static_cast<size_t>(edge.output)], std::move(gradients[i]));
        }
      }
      if (--uses[edge.node.get()] == 0 && edge.node->is_leaf) run_hooks(*edge.node);
    }
    node->backward = nullptr;  // frees what the closure had saved
    node->freed = true;
    node->inputs.clear();
    node.reset();
  }
}

void add_hook(const Tensor& leaf, Hook hook) { leaf_of("add_hook", leaf).hooks.push_back(std::move(hook)); }

void set_grad_slot(const Tensor& leaf, const Tensor& slot) {
  Node& node = leaf_of("set_grad_slot", leaf);
  ENGINE_CHECK(leaf.shape() == slot.shape() && leaf.dtype() == slot.dtype(), "set_grad_slot: slot ", slot.shape(),
               " for ", leaf.shape());
  node.slot = slot;
}

NoGrad::NoGrad(bool off) : previous_(grad_enabled) { grad_enabled = !off; }
NoGrad::~NoGrad() { grad_enabled = previous_; }

}  // namespace engine
