#include "engine/autograd.h"

#include <doctest/doctest.h>

#include "engine/ops.h"

namespace engine {
namespace {

Tensor leaf(std::initializer_list<double> values) {
  const Tensor x = Tensor::from<double>(values);
  x.set_requires_grad();
  return x;
}

double at(const Tensor& x, size_t i) { return x.values<double>()[i]; }

// An op with two outputs: x and 2x.
std::vector<Tensor> once_and_twice(const Tensor& x, std::vector<bool>* arrived = nullptr) {
  return record("once_and_twice", {x}, std::vector<Tensor>{x.clone(), affine(x.detach(), 2, 0)}, [=](const Grads& dy) {
    if (arrived) *arrived = {dy[0].defined(), dy[1].defined()};
    Tensor dx = dy[0] ? dy[0] : Tensor::zeros_like(dy[1]);
    if (dy[1]) dx = add(dx, affine(dy[1], 2, 0));
    return Grads{dx};
  });
}

}  // namespace

TEST_CASE("a tensor used several times gets the sum of its gradients") {
  const Tensor x = leaf({2, 3});
  sum(mul(x, x)).backward();
  CHECK(at(x.grad(), 0) == 4);
  CHECK(at(x.grad(), 1) == 6);
  const Tensor y = leaf({2, 3});
  sum(add(add(y, y), add(y, y))).backward();
  CHECK(at(y.grad(), 0) == 4);
}

TEST_CASE("gradients accumulate until zero_grad") {
  const Tensor x = leaf({1});
  affine(x, 3, 0).backward();
  affine(x, 3, 0).backward();
  CHECK(at(x.grad(), 0) == 6);
  x.zero_grad();
  CHECK(!x.grad());
}

TEST_CASE("accumulation never writes into memory that something else sees") {
  const Tensor x = leaf({1, 2}), y = leaf({3, 4});
  const Tensor seed = Tensor::from<double>({1, 1});
  // add() hands its upstream gradient, and so the seed's memory, to both inputs; x then gets a second contribution.
  const Tensor z = add(add(x, y), affine(x, 10, 0));
  z.backward(seed);
  CHECK(at(seed, 0) == 1);
  CHECK(at(y.grad(), 0) == 1);
  CHECK(at(x.grad(), 0) == 11);
}

TEST_CASE("nodes with several outputs get all their gradients at once, undefined where unused") {
  const Tensor x = leaf({1, 2});
  std::vector<bool> arrived;
  const auto both = once_and_twice(x, &arrived);
  sum(add(both[0], both[1])).backward();
  CHECK(at(x.grad(), 0) == 3);
  CHECK(arrived == std::vector<bool>{true, true});
  x.zero_grad();
  const auto second = once_and_twice(x, &arrived);
  sum(second[1]).backward();
  CHECK(at(x.grad(), 0) == 2);
  CHECK(arrived == std::vector<bool>{false, true});
}

TEST_CASE("a chain of a million nodes is differentiated and destroyed without recursion") {
  const int64_t nodes = Node::live();
  {
    const Tensor x = leaf({1});
    Tensor y = x;
    for (int i = 0; i < 1000000; ++i) y = y.reshape({1});
    y.backward();
    CHECK(at(x.grad(), 0) == 1);
    for (int i = 0; i < 1000000; ++i) y = y.reshape({1});  // dropped without backward
    Tensor z = x;
    for (int i = 0; i < 200000; ++i) z = add(z, z.detach());  // every closure holds memory
  }
  CHECK(Node::live() == nodes);
}

TEST_CASE("the graph is freed as backward goes and cannot be used twice") {
  const Tensor x = leaf({1});
  const int64_t nodes = Node::live();
  const Tensor y = square(square(x));
  CHECK(Node::live() == nodes + 2);
  y.backward();
  CHECK(Node::live() == nodes + 1);  // y itself still holds its node, which holds nothing
  CHECK_THROWS_WITH(y.backward(), doctest::Contains("freed by an earlier backward()"));
}

TEST_CASE("hooks fire once, when the gradient of their leaf is final, before older nodes are done") {
  const Tensor early = leaf({1}), late = leaf({5});
  std::vector<std::string> events;
  add_hook(early, [&](const Tensor& grad) { events.push_back(concat("early ", at(grad, 0))); });
  add_hook(late, [&](const Tensor& grad) { events.push_back(concat("late ", at(grad, 0))); });
  const Tensor first = record("first", {early}, early.clone(), [&](const Grads& dy) {
    events.emplace_back("first");
    return Grads{dy[0]};
  });
  const Tensor second = mul(mul(first, late), late);  // late is used twice: 2 * late
  second.backward();
  CHECK(events == std::vector<std::string>{"late 10", "first", "early 25"});
}

TEST_CASE("NoGrad records nothing and nests") {
  const Tensor x = leaf({1});
  {
    const NoGrad outer;
    { const NoGrad inner; }
    CHECK(!square(x).requires_grad());
  }
  CHECK(square(x).requires_grad());
}

TEST_CASE("ops that do not compute take memory and record gradients all the same") {
  const Tensor logits = Tensor::full({2, 3}, 0.5), labels = Tensor::full({2}, 7, DType::i64);
  logits.set_requires_grad();
  CHECK_THROWS_AS(cross_entropy(logits, labels), Error);  // its kernel looks at the labels
  ops_compute = false;
  const int64_t before = cpu_bytes_in_use();
  const Tensor loss = cross_entropy(logits, labels);
  CHECK(cpu_bytes_in_use() - before >= static_cast<int64_t>(loss.bytes() + logits.bytes()));
  loss.backward();
  CHECK_THROWS_AS(add(logits, labels), Error);  // what a tensor is made of is checked
  ops_compute = true;
  CHECK(logits.grad().shape() == logits.shape());
  CHECK_THROWS_AS(cross_entropy(logits, labels), Error);
}

TEST_CASE("gradient slots: the first contribution replaces, later ones add") {
  const Tensor x = leaf({2});
  const Tensor slot = Tensor::full({1}, 1e9, DType::f64);
  set_grad_slot(x, slot);
  mul(x, x).backward();
  CHECK(at(slot, 0) == 4);
  CHECK(x.grad().is(slot));
  affine(x, 3, 0).backward();
  CHECK(at(slot, 0) == 7);
  x.zero_grad();
  affine(x, 3, 0).backward();
  CHECK(at(slot, 0) == 3);
}

TEST_CASE("mistakes are named") {
  CHECK_THROWS_WITH(Tensor::zeros({1}).backward(), doctest::Contains("nothing to differentiate"));
  CHECK_THROWS_WITH(square(leaf({1, 2})).backward(), doctest::Contains("needs a seed gradient"));
  CHECK_THROWS_WITH(Tensor::zeros({1}, DType::i64).set_requires_grad(), doctest::Contains("i64 has no gradient"));
  CHECK_THROWS_WITH(square(leaf({1})).set_requires_grad(), doctest::Contains("was computed by square"));
  const Tensor x = leaf({1, 2});
  const Tensor wrong =
      record("wrong", {x}, x.clone(), [](const Grads&) { return Grads{Tensor::zeros({3}, DType::f64)}; });
  CHECK_THROWS_WITH(sum(wrong).backward(), doctest::Contains("backward of wrong: the gradient of input 0 is (3) f64"));
  const Tensor none = record("none", {x}, x.clone(), [](const Grads&) { return Grads{}; });
  CHECK_THROWS_WITH(sum(none).backward(), doctest::Contains("returned 0 gradients for 1 inputs"));
}

TEST_CASE("slices and reshapes are differentiable") {
  const Tensor x = leaf({1, 2, 3, 4});
  sum(square(x.reshape({2, 2}).slice(1, 2))).backward();
  CHECK(at(x.grad(), 0) == 0);
  CHECK(at(x.grad(), 2) == 6);
}

}  // namespace engine
