#include "engine/arena.h"

#include <algorithm>
#include <tuple>

#include "engine/autograd.h"
#include "engine/ops.h"

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
                               const NamePredicate& is_frozen, const NamePredicate& stays_f32) {
  const bool compute_bf16 = stays_f32 != nullptr;
  ENGINE_CHECK(!parameters.empty(), "arena: the model has no parameters");
  struct Item {
    NamedTensor named;
    bool frozen, decay, full;
    auto group() const { return std::tuple(frozen, !decay, full); }
  };
  std::vector<Item> items;
  for (const NamedTensor& each : distinct(parameters))
    items.push_back(
        {each, is_frozen && is_frozen(each.name), each.tensor.rank() >= 2, !compute_bf16 || stays_f32(each.name)});
  std::ranges::stable_sort(items, {}, &Item::group);

  std::vector<NamedTensor> ordered;
  for (const Item& item : items) ordered.push_back(item.named);
  std::vector<int64_t> begins, buffer_begins;
  values_ = gather(ordered, begins);
  buffers_ = gather(distinct(buffers), buffer_begins);
  ENGINE_CHECK(!compute_bf16 || values_.dtype() == DType::f32,
               "arena: to compute in bf16, the parameters must be f32, not ", values_.dtype());

  for (size_t i = 0; i < items.size(); ++i) {
    const int64_t end = begins[i] + padded(items[i].named.tensor);
    if (i == 0 || items[i].group() != items[i - 1].group())
      groups_.push_back({items[i].frozen, items[i].decay, begins[i], end, {}, {}, {}});
    groups_.back().end = end;
    if (!items[i].frozen) trainable_ = end;
  }
  grads_ = Tensor::zeros({trainable_}, compute_bf16 ? DType::bf16 : values_.dtype(), values_.device());
  if (compute_bf16) copies_ = cast(values_, DType::bf16);
  auto item = items.begin();
  for (Group& group : groups_) {
    group.values = values_.slice(group.begin, group.end);
    if (!item->full) group.copies = copies_.slice(group.begin, group.end);
    if (!group.frozen)
      group.grads =
          item->full && compute_bf16 ? Tensor::zeros_like(group.values) : grads_.slice(group.begin, group.end);
    for (; item != items.end() && begins[slots_.size()] < group.end; ++item) {
      const Tensor& tensor = item->named.tensor;
      const int64_t begin = begins[slots_.size()] - group.begin, end = begin + tensor.elements();
      if (group.copies) tensor.assign(group.copies.slice(begin, end).reshape(tensor.shape()));
      tensor.set_requires_grad(!group.frozen);
      Tensor gradient;
      if (!group.frozen) {
        gradient = group.grads.slice(begin, end);
        set_grad_slot(tensor, gradient.reshape(tensor.shape()));
      }
      slots_.push_back({item->named.name, tensor, group.begin + begin, gradient});
    }
  }
}

Tensor ParameterArena::master(const Tensor& parameter) const {
  for (const Slot& slot : slots_)
    if (slot.tensor.is(parameter))
      return values_.slice(slot.begin, slot.begin + parameter.elements()).reshape(parameter.shape());
  return parameter;
}

void ParameterArena::zero_grad() const {
  for (const Slot& slot : slots_) slot.tensor.zero_grad();
}

void ParameterArena::finish_grad() const {
  for (const Slot& slot : slots_)
    if (slot.gradient && !slot.tensor.grad()) fill(slot.gradient, 0.0);
}

}  // namespace engine
