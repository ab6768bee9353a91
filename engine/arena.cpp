#include "engine/arena.h"

#include <algorithm>

#include "engine/autograd.h"
#include "kernels/copy.h"

namespace engine {
namespace {

constexpr int64_t kAlignment = 256;  // bytes

int64_t padded(const Tensor& tensor) {
  const int64_t quantum = kAlignment / size_of(tensor.dtype());
  return (tensor.elements() + quantum - 1) / quantum * quantum;
}

// Each tensor once, in the order given.
std::vector<NamedTensor> distinct(const std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor> result;
  for (const NamedTensor& each : tensors) {
    const auto same = [&](const NamedTensor& other) { return other.tensor.is(each.tensor); };
    if (std::none_of(result.begin(), result.end(), same)) result.push_back(each);
  }
  return result;
}

// Copies the tensors one after the other into new memory and moves their handles there.
Tensor gather(const std::vector<NamedTensor>& tensors, std::vector<int64_t>& begins) {
  if (tensors.empty()) return {};
  const Tensor& first = tensors[0].tensor;
  int64_t elements = 0;
  for (const NamedTensor& each : tensors) {
    ENGINE_CHECK(each.tensor.dtype() == first.dtype() && each.tensor.device() == first.device(), "arena: ", each.name,
                 " is ", each.tensor.dtype(), " on ", each.tensor.device(), ", ", tensors[0].name, " is ",
                 first.dtype(), " on ", first.device(), "; a model's tensors share one type and one device");
    begins.push_back(elements);
    elements += padded(each.tensor);
  }
  const Tensor flat = Tensor::zeros({elements}, first.dtype(), first.device());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i].tensor;
    const Tensor place = flat.slice(begins[i], begins[i] + tensor.elements()).reshape(tensor.shape());
    place.copy_from(tensor);
    tensor.assign(place);
  }
  return flat;
}

}  // namespace

ParameterArena::ParameterArena(const std::vector<NamedTensor>& parameters, const std::vector<NamedTensor>& buffers,
                               const std::function<bool(const std::string&)>& is_frozen) {
  ENGINE_CHECK(!parameters.empty(), "arena: the model has no parameters");
  struct Item {
    NamedTensor named;
    bool frozen, decay;
  };
  std::vector<Item> items;
  for (const NamedTensor& each : distinct(parameters))
    items.push_back({each, is_frozen && is_frozen(each.name), each.tensor.rank() >= 2});
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return std::pair(a.frozen, !a.decay) < std::pair(b.frozen, !b.decay);
  });

  std::vector<NamedTensor> ordered;
  for (const Item& item : items) ordered.push_back(item.named);
  std::vector<int64_t> begins, buffer_begins;
  values_ = gather(ordered, begins);
  buffers_ = gather(distinct(buffers), buffer_begins);

  for (size_t i = 0; i < items.size(); ++i) {
    const auto& [named, frozen, decay] = items[i];
    const int64_t end = begins[i] + padded(named.tensor);
    if (groups_.empty() || groups_.back().frozen != frozen || groups_.back().decay != decay)
      groups_.push_back({frozen, decay, begins[i], end});
    groups_.back().end = end;
    slots_.push_back({named.name, named.tensor, begins[i]});
    if (!frozen) trainable_ = end;
    named.tensor.set_requires_grad(!frozen);
  }
  grads_ = Tensor::zeros({trainable_}, values_.dtype(), values_.device());
  for (const Slot& slot : slots_) {
    if (!slot.tensor.requires_grad()) continue;
    const Tensor place = grads_.slice(slot.begin, slot.begin + slot.tensor.elements());
    set_grad_slot(slot.tensor, place.reshape(slot.tensor.shape()));
  }
}

void ParameterArena::zero_grad() const {
  for (const Slot& slot : slots_) slot.tensor.zero_grad();
}

void ParameterArena::finish_grad() const {
  for (const Slot& slot : slots_) {
    if (!slot.tensor.requires_grad() || slot.tensor.grad()) continue;
    const Tensor place = grads_.slice(slot.begin, slot.begin + slot.tensor.elements());
    on(place.device(), [&](auto& ctx) { fill(ctx, place, 0.0); });
  }
}

}  // namespace engine
