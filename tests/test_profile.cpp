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

TEST_CASE("profile: nobody is told without a profiler") {
  const Tensor x = Tensor::full({3}, 2.0).set_requires_grad();
  { const Seen seen; }
  sum(square(x)).backward();
  CHECK(x.grad().values<float>()[0] == 4.0f);
}

}  // namespace engine::test
