#include <map>

#include "bench/compare/passes.h"
#include "bench/suite/suite.h"
#include "engine/autograd.h"
#include "tests/op_run.h"
#include "train/op_watch.h"

namespace engine::bench {
namespace {

using test::OpCase;

double bytes_of(const Tensors& tensors) {
  double sum = 0;
  for (const Tensor& each : tensors) sum += static_cast<double>(each.bytes());
  return sum;
}

Tensors inputs_of(const OpCase& row, const Suite& suite) {
  const Tensors exact = test::make_inputs(row, suite.dtype, false);
  Tensors inputs;
  for (size_t i = 0; i < exact.size(); ++i) {
    const test::Input& input = row.inputs[i];
    inputs.push_back(
        (test::follows(input) ? cast(exact[i], test::type_of(input, suite.dtype)).clone() : exact[i]).to(suite.device));
  }
  return inputs;
}

Work forward_of(const OpCase& row, const Suite& suite) {
  const auto inputs = std::make_shared<const Tensors>(inputs_of(row, suite));
  const NoGrad no_grad;
  Work work;
  const OpWatch watch;
  work.bytes = bytes_of(*inputs) + bytes_of(row.run(*inputs));
  work.flop = watch.flop;
  work.call = [&row, inputs] {
    const NoGrad none;
    row.run(*inputs);
  };
  return work;
}

// Forward, and backward from a seed for every output.
Work both_of(const OpCase& row, const Suite& suite) {
  const auto inputs = std::make_shared<Tensors>(inputs_of(row, suite));
  for (size_t i = 0; i < inputs->size(); ++i)
    if (row.inputs[i].differentiable) (*inputs)[i].set_requires_grad();
  Work work;
  Random random(11, 1);
  const auto seeds = std::make_shared<Tensors>();
  const OpWatch watch;
  const Tensors outputs = row.run(*inputs);
  work.flop = 3 * watch.flop;
  for (const Tensor& output : outputs)
    seeds->push_back(output.requires_grad()
                         ? cast(normal(output.shape(), 0, 1, random), output.dtype()).to(suite.device)
                         : Tensor());
  work.bytes = 2 * bytes_of(*inputs) + 2 * bytes_of(outputs);
  const auto both = [&row, inputs, seeds] {
    const Tensors made = row.run(*inputs);
    Tensor total;
    for (size_t k = 0; k < made.size(); ++k) {
      if (!(*seeds)[k]) continue;
      if (made.size() == 1) return made[k].backward((*seeds)[k]);
      const Tensor term = sum(mul(made[k], (*seeds)[k]));
      total = total ? add(total, cast(term, total.dtype())) : term;
    }
    if (total) total.backward();
  };
  work.call = [both, inputs] {
    both();
    for (const Tensor& input : *inputs)
      if (input.requires_grad()) input.zero_grad();
  };
  return work;
}

void add_cases(const Suite& suite) {
  std::map<std::string, int> seen;
  for (const OpCase& row : test::op_cases()) {
    if (suite.dtype == DType::bf16 && !row.has_bf16) continue;
    std::string name = concat("case/", row.op, "/", row.what);
    if (const int before = seen[name]++; before > 0) name += concat(" (", before + 1, ")");
    add(suite, name + "/forward", [&row, &suite] { return forward_of(row, suite); });
    if (std::ranges::any_of(row.inputs, [](const test::Input& input) { return input.differentiable; }))
      add(suite, name + "/forward+backward", [&row, &suite] { return both_of(row, suite); });
  }
}

Settings settings_of(const Suite& suite) {
  return {.device = suite.device,
          .cache_bytes = suite.quick ? 0.0 : suite.shapes.value("cache_bytes", 256e6),
          .precision = suite.dtype == DType::bf16 ? "bf16" : "f32"};
}

}  // namespace

void add_ops(const Suite& suite) {
  add_cases(suite);
  for (const json& w : suite.shapes.at("ops")) {
    const std::string op = w.at("op");
    for (const char* name : {"forward", "forward+backward"}) {
      if (name == std::string("forward+backward") && (op == "copy" || op == "adamw")) continue;
      add(suite, concat("op/", w.at("name").get<std::string>(), "/", name), [&suite, &w, name] {
        Work work;
        visit_workload(w, false, settings_of(suite), [&](const Pass& pass) {
          if (pass.name == name)
            work = {.call = pass.work, .calls = pass.calls, .flop = pass.flop, .bytes = pass.bytes};
        });
        return work;
      });
    }
  }
}

}  // namespace engine::bench
