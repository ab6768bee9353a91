#include "engine/tensor.h"

#include "engine/autograd.h"
#include "kernels/copy.h"

namespace engine {

struct Tensor::Impl {
  Shape shape;
  DType dtype;
  std::shared_ptr<Storage> storage;
  size_t offset = 0;  // bytes
  Edge edge{};
};

static Tensor copy_on(Device target, const Tensor& x) {
  const Tensor result = Tensor::empty(x.shape(), x.dtype(), target);
  copy_bytes(target, result.memory(), x.device(), x.memory(), x.bytes());
  return result;
}

const Tensor::Impl& Tensor::impl() const {
  ENGINE_CHECK(impl_, "tensor: used before it was given a value (it is undefined)");
  return *impl_;
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  auto storage = std::make_shared<Storage>(device, static_cast<size_t>(shape.elements() * size_of(dtype)));
  return Tensor(std::make_shared<Impl>(Impl{shape, dtype, std::move(storage)}));
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) { return full(shape, 0.0, dtype, device); }

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  const Tensor result = empty(shape, dtype, device);
  fill(result, value);
  return result;
}

void fill(const Tensor& tensor, double value) {
  compute(tensor.device(), [&](auto& ctx) { fill(ctx, tensor, value); });
}

const Shape& Tensor::shape() const { return impl().shape; }
DType Tensor::dtype() const { return impl().dtype; }
Device Tensor::device() const { return impl().storage->device(); }
const std::shared_ptr<Storage>& Tensor::storage() const { return impl().storage; }
size_t Tensor::offset() const { return impl().offset; }
void* Tensor::memory() const { return static_cast<char*>(impl().storage->memory()) + impl().offset; }

double Tensor::item() const {
  ENGINE_CHECK(elements() == 1, "item: expected one element, got shape ", shape());
  const Tensor host = to(kCpu);
  return dispatch_all(dtype(), [&]<class T>() { return static_cast<double>(*static_cast<const T*>(host.memory())); });
}

bool Tensor::unique() const { return impl_.use_count() == 1 && storage().use_count() == 1; }

Tensor::operator ConstView() const { return defined() ? ConstView(memory(), dtype(), shape()) : ConstView(); }
Tensor::operator View() const { return defined() ? View(memory(), dtype(), shape()) : View(); }

Tensor Tensor::view_of_memory(const Shape& shape, size_t offset) const {
  return Tensor(std::make_shared<Impl>(Impl{shape, dtype(), storage(), offset}));
}

Tensor Tensor::reshape(std::initializer_list<int64_t> sizes) const {
  Shape result;
  int unknown = -1;
  for (const int64_t size : sizes) {
    ENGINE_CHECK(size != -1 || unknown < 0, "reshape: only one size may be -1");
    if (size == -1) unknown = result.rank();
    result.push_back(size == -1 ? 1 : size);
  }
  if (unknown >= 0) {
    const int64_t known = result.elements();
    ENGINE_CHECK(known > 0 && elements() % known == 0, "reshape: ", shape(), " does not divide into rows of ", known);
    result[unknown] = elements() / known;
  }
  return reshape(result);
}

Tensor Tensor::reshape(const Shape& sizes) const {
  ENGINE_CHECK(sizes.elements() == elements(), "reshape: ", shape(), " has ", elements(), " elements, ", sizes, " has ",
               sizes.elements());
  return record("reshape", {*this}, view_of_memory(sizes, offset()),
                [original = shape()](const Grads& dy) { return Grads{dy[0].reshape(original)}; });
}

Tensor Tensor::flatten(int first_axis, int last_axis) const {
  const int first = shape().resolve(first_axis), last = shape().resolve(last_axis);
  ENGINE_CHECK(first <= last, "flatten: axis ", first_axis, " comes after axis ", last_axis, " in ", shape());
  Shape merged = shape().slice(0, first);
  merged.push_back(shape().elements(first, last + 1));
  for (int axis = last + 1; axis < rank(); ++axis) merged.push_back(size(axis));
  return reshape(merged);
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  ENGINE_CHECK(rank() >= 1 && 0 <= begin && begin <= end && end <= size(0), "slice: rows ", begin, " to ", end, " of ",
               shape());
  Shape rows = shape();
  rows[0] = end - begin;
  const int64_t row_elements = shape().elements(1, rank());
  const Tensor view = view_of_memory(rows, offset() + static_cast<size_t>(begin * row_elements * size_of(dtype())));
  return record("slice", {*this}, view, [original = shape(), begin, end](const Grads& dy) {
    const Tensor dx = zeros(original, dy[0].dtype(), dy[0].device());
    dx.slice(begin, end).copy_from(dy[0]);
    return Grads{dx};
  });
}

Tensor Tensor::clone() const { return copy_on(device(), *this); }
Tensor Tensor::to(Device target) const { return device() == target ? *this : copy_on(target, *this); }

void Tensor::copy_from(const Tensor& source) const {
  ENGINE_CHECK(shape() == source.shape(), "copy_from: ", source.shape(), " does not fit into ", shape());
  const Tensor here = source.to(device());
  compute(device(), [&](auto& ctx) { copy(ctx, here, *this); });
}

const Tensor& Tensor::set_requires_grad(bool wanted) const {
  ENGINE_CHECK(is_float(dtype()), "set_requires_grad: a tensor of ", dtype(), " has no gradient");
  ENGINE_CHECK(!impl().edge.node || impl().edge.node->is_leaf, "set_requires_grad: this tensor was computed by ",
               impl().edge.node->name, "; only a tensor that was not computed can be a leaf; detach() it first");
  if (!wanted) {
    impl_->edge = {};
  } else if (!requires_grad()) {
    auto leaf = std::make_shared<Node>("leaf");
    leaf->is_leaf = true;
    leaf->outputs = {{shape(), dtype(), device()}};
    impl_->edge = {std::move(leaf), 0};
  }
  return *this;
}

bool Tensor::requires_grad() const { return defined() && impl_->edge.node != nullptr; }

Tensor Tensor::grad() const {
  const Node* node = impl().edge.node.get();
  return node ? node->grad : Tensor();
}

void Tensor::zero_grad() const {
  if (Node* node = impl().edge.node.get()) node->grad = {};
}

void Tensor::backward(const Tensor& seed) const { engine::backward(*this, seed); }

Tensor Tensor::detach() const { return defined() ? view_of_memory(shape(), offset()) : Tensor(); }

const Edge& Tensor::edge() const { return impl().edge; }
void Tensor::set_edge(Edge edge) const { impl_->edge = std::move(edge); }

void Tensor::assign(const Tensor& source) const {
  ENGINE_CHECK(shape() == source.shape(), "assign: a tensor of ", shape(), " cannot stand for memory of ",
               source.shape());
  impl_->dtype = source.dtype();
  impl_->storage = source.storage();
  impl_->offset = source.offset();
  Node* leaf = impl_->edge.node.get();
  if (!leaf) return;
  ENGINE_CHECK(leaf->is_leaf, "assign: this tensor was computed by ", leaf->name,
               "; only a leaf can be given other memory");
  leaf->outputs = {{shape(), dtype(), device()}};
  leaf->grad = {};
  leaf->slot = {};
}

}  // namespace engine
