// The hook of profilers: every op of the case table is seen, forward and, where it has gradients, backward.
#include "kernels/profile.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "tests/op_check.h"

namespace engine::test {
namespace {

struct Seen : Profiler {
  std::vector<OpPass> passes;
  int open = 0;
  bool is_nested = true;  // never more ends than begins

  Seen() { profiler = this; }
  ~Seen() override { profiler = nullptr; }
  void begin(const OpPass& pass) override {
    passes.push_back(pass);
    ++open;
  }
  void end() override { is_nested = is_nested && --open >= 0; }
};

// Ops made of others, and which of these show.
const std::map<std::string, std::set<std::string>> kComposed = {
    {"global_average_pool", {"mean"}},
    {"adaptive_average_pool2d", {"average_pool2d", "matmul"}},
    {"group_norm", {"layer_norm"}}};

}  // namespace

TEST_CASE("profile: every op is seen by its name, and its backward pass has the same number") {
  std::set<std::string> done;
  for (const OpCase& row : op_cases()) {
    if (!done.insert(row.op).second) continue;  // one row of each op
    CAPTURE(row.op);
    const Tensors exact = make_inputs(row, DType::f64, false);
    const Tensors seeds = make_seeds(row, outputs_of(row, exact), DType::f64, false);
    Seen seen;
    const Outcome outcome = evaluate(row, exact, seeds, DType::f32);
    CHECK(seen.is_nested);
    CHECK(seen.open == 0);
    std::map<uint64_t, std::string> forward;
    for (const OpPass& pass : seen.passes) {
      if (!pass.backward) forward[pass.sequence] = pass.op;
      if (pass.backward && std::string(pass.op) == row.op) CHECK(forward[pass.sequence] == row.op);
    }
    const auto is_own = [&](bool backward) {
      return [&row, backward](const OpPass& pass) { return pass.op == row.op && pass.backward == backward; };
    };
    if (const auto composed = kComposed.find(row.op); composed != kComposed.end()) {
      CHECK(std::ranges::any_of(seen.passes, [&](const OpPass& pass) { return composed->second.contains(pass.op); }));
      continue;
    }
    CHECK(std::ranges::any_of(seen.passes, is_own(false)));
    const bool differentiable = std::ranges::any_of(outcome.grads, [](const Tensor& grad) { return grad.defined(); });
    CHECK(std::ranges::any_of(seen.passes, is_own(true)) == differentiable);
  }
  CHECK(done.size() > 40);
}

TEST_CASE("profile: operations are counted, two per multiply-add") {
  const auto flop = [](const auto& f) {
    const Seen seen;
    f();
    double sum = 0;
    for (const OpPass& pass : seen.passes) sum += pass.flop;
    return sum;
  };
  const auto full = [](const Shape& shape) { return Tensor::full(shape, 0.5); };
  const Conv2d conv{.stride_h = 2, .pad_w = 1, .groups = 2};  // 7x5 by 3x3: 3x5 places
  CHECK(flop([&] { conv2d(full({2, 7, 5, 4}), full({6, 3, 3, 2}), full({6}), conv); }) == 2 * 2 * 15 * 6 * 18);
  CHECK(flop([&] { conv3d(full({1, 3, 2, 2, 5}), full({4, 2, 1, 1, 5}), {}, {}); }) == 2 * 8 * 4 * 10);
  CHECK(flop([&] { linear(full({2, 3, 5}), full({7, 5}), full({7})); }) == 2 * 6 * 7 * 5);
  CHECK(flop([&] { matmul(full({4, 5, 2}), full({4, 3, 5}), {true, true}); }) == 2 * 4 * 2 * 3 * 5);
  CHECK(flop([&] { attention(full({2, 3, 4, 5}), full({2, 7, 4, 5}), full({2, 7, 4, 5})); }) == 4 * 2 * 4 * 3 * 7 * 5);
  CHECK(flop([&] { attention_packed(full({2, 6, 3, 4, 5})); }) == 4 * 2 * 4 * 6 * 6 * 5);
  CHECK(flop([&] {
          lstm(full({2, 3, 5}), full({16, 5}), full({16, 4}), full({16}), full({16}));
        }) == 2 * 2 * 3 * 16 * (5 + 4));
  CHECK(flop([&] { relu(full({9})); }) == 0);
}

TEST_CASE("profile: bytes in use are those of tensors") {
  const int64_t before = cpu_bytes_in_use();
  const Tensor x = Tensor::zeros({37, 3});
  CHECK(cpu_bytes_in_use() == before + 444);
  { const Tensor y = x.clone(); }
  CHECK(cpu_bytes_in_use() == before + 444);
}

TEST_CASE("profile: nobody is told without a profiler") {
  const Tensor x = Tensor::full({3}, 2.0).set_requires_grad();
  { const Seen seen; }
  sum(square(x)).backward();
  CHECK(x.grad().values<float>()[0] == 4.0f);
}

}  // namespace engine::test
