// Runs the case table (tests/op_cases.h).
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <regex>
#include <set>

#include "engine/autograd.h"
#include "kernels/cpu/context.h"
#include "tests/op_check.h"
#include "tests/places.h"

namespace engine::test {
namespace {

constexpr double kStep = 1e-3;  // of the four-point difference
constexpr double kRelative = 1e-7, kAbsolute = 1e-9;
constexpr int64_t kFullJacobian = 2000;  // inputs up to here are perturbed one by one
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kMostPerturbed = 32;  // all touch the same memory, and the optimised build perturbs every one
#else
constexpr size_t kMostPerturbed = kFullJacobian;
#endif
constexpr int kDirections = 32;

// sum(seed * output) in f64, the function whose derivative is checked.
double objective(const OpCase& row, const Tensors& inputs, const Tensors& seeds) {
  const Tensors outputs = row.run(inputs);
  double total = 0;
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (!is_float(outputs[k].dtype())) continue;
    const auto values = outputs[k].values<double>(), weights = seeds[k].values<double>();
    for (size_t i = 0; i < values.size(); ++i) total += values[i] * weights[i];
  }
  return total;
}

// The derivative of the objective along `direction` of input `which`, by the four-point central difference, whose error
// is of fourth order in the step.
double difference(const OpCase& row, const Tensors& exact, const Tensors& seeds, size_t which,
                  const std::vector<double>& direction) {
  Tensors moved = exact;
  const auto at = [&](double step) {
    moved[which] = exact[which].clone();
    const auto values = moved[which].values<double>();
    for (size_t i = 0; i < values.size(); ++i) values[i] += step * direction[i];
    return objective(row, moved, seeds);
  };
  return (8 * (at(kStep) - at(-kStep)) - (at(2 * kStep) - at(-2 * kStep))) / (12 * kStep);
}

void check_gradients(const OpCase& row, int64_t& derivatives) {
  const Tensors exact = make_inputs(row, DType::f64, false);
  const Tensors seeds = make_seeds(row, outputs_of(row, exact), DType::f64, false);
  const Outcome analytic = evaluate(row, exact, seeds, DType::f64);
  const NoGrad no_grad;
  size_t position = 0;
  for (size_t which = 0; which < exact.size(); ++which) {
    if (!row.inputs[which].differentiable) continue;
    const Tensor grad = analytic.grads[position++];
    INFO(row.op, " (", row.what, "): gradient of input ", which);
    REQUIRE(grad.defined());
    const auto values = grad.values<double>();
    double largest = 0;
    for (const double value : values) largest = std::max(largest, std::abs(value));
    const bool full = exact[which].elements() <= kFullJacobian;
    const size_t probes = full ? values.size() : kDirections;
    Random random = stream(row, "directions");
    double worst = 0;
    const size_t stride = full ? (probes + kMostPerturbed - 1) / kMostPerturbed : 1;
    for (size_t probe = 0; probe < probes; probe += stride) {
      std::vector<double> direction(values.size(), 0.0);
      if (full)
        direction[probe] = 1.0;
      else
        for (double& each : direction) each = random.normal();
      double expected = 0, scale = full ? largest : 0;
      for (size_t i = 0; i < values.size(); ++i) {
        expected += values[i] * direction[i];
        if (!full) scale = std::max(scale, std::abs(values[i]) * std::sqrt(static_cast<double>(values.size())));
      }
      const double numeric = difference(row, exact, seeds, which, direction);
      const double allowed = kRelative * std::abs(numeric) + kAbsolute * std::max(1.0, scale);
      worst = std::max(worst, std::abs(numeric - expected) / allowed);
      ++derivatives;
    }
    CHECK(worst <= 1.0);
  }
}

bool differentiable(const OpCase& row) {
  return std::any_of(row.inputs.begin(), row.inputs.end(), [](const Input& input) { return input.differentiable; });
}

}  // namespace

TEST_CASE("every function of ops.h has rows") {
  std::ifstream file(source_folder() + "/engine/ops.h");
  REQUIRE(file.good());
  std::set<std::string> covered;
  for (const OpCase& row : op_cases()) covered.insert(row.op);
  const std::regex declaration(R"(^(Tensor|std::vector<Tensor>) (\w+)\()");
  int functions = 0;
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (!std::regex_search(line, match, declaration)) continue;
    ++functions;
    INFO("engine/ops.h: ", match[2].str(), " has no row in the case table");
    CHECK(covered.contains(match[2].str()));
  }
  CHECK(functions > 20);
  MESSAGE(functions, " declarations in ops.h, ", covered.size(), " ops covered by ", op_cases().size(), " rows");
}

TEST_CASE("forward equals the naive reference in f64") {
  for (const OpCase& row : op_cases()) {
    const Tensors exact = make_inputs(row, DType::f64, false);
    check_close(row, "output", outputs_of(row, exact), row.reference(exact), 1e-13);
  }
}

TEST_CASE("gradients equal four-point differences in f64") {
  int64_t derivatives = 0;
  for (const OpCase& row : op_cases())
    if (differentiable(row)) check_gradients(row, derivatives);
  MESSAGE(derivatives, " derivatives checked");
}

TEST_CASE("f32 and bf16 stay within their bounds of f64") {
  for (const OpCase& row : op_cases())
    for (const DType dtype : {DType::f32, DType::bf16}) {
      if (dtype == DType::bf16 && !row.has_bf16) continue;
      const Tensors exact = make_inputs(row, dtype, false);
      const Tensors seeds = make_seeds(row, outputs_of(row, exact), dtype, false);
      const Outcome expected = evaluate(row, exact, seeds, DType::f64), got = evaluate(row, exact, seeds, dtype);
      const bool single = dtype == DType::f32;
      check_close(row, single ? "f32 output" : "bf16 output", got.outputs, expected.outputs,
                  single ? row.f32 : row.bf16);
      check_close(row, single ? "f32 gradient" : "bf16 gradient", got.grads, expected.grads,
                  single ? row.f32_grad : row.bf16_grad);
    }
}

TEST_CASE("whole numbers give exactly the f64 result") {
  int rows = 0;
  for (const OpCase& row : op_cases()) {
    if (!row.exact_integers) continue;
    ++rows;
    const Tensors exact = make_inputs(row, DType::f64, true);
    const Tensors seeds = make_seeds(row, outputs_of(row, exact), DType::f64, true);
    const Outcome expected = evaluate(row, exact, seeds, DType::f64), got = evaluate(row, exact, seeds, DType::f32);
    check_close(row, "integer output", got.outputs, expected.outputs, 0.0);
    check_close(row, "integer gradient", got.grads, expected.grads, 0.0);
  }
  CHECK(rows > 10);
}

TEST_CASE("the same call twice, and inputs at an offset, give the same bytes") {
  for (const OpCase& row : op_cases()) {
    const Tensors exact = make_inputs(row, DType::f32, false);
    const Tensors seeds = make_seeds(row, outputs_of(row, exact), DType::f32, false);
    const Outcome first = evaluate(row, exact, seeds, DType::f32), second = evaluate(row, exact, seeds, DType::f32);
    check_same_bytes(row, "output again", first.outputs, second.outputs);
    check_same_bytes(row, "gradient again", first.grads, second.grads);
    const Outcome offset = evaluate(row, exact, seeds, DType::f32, {.offset = true});
    check_same_bytes(row, "output at an offset", first.outputs, offset.outputs);
    check_same_bytes(row, "gradient at an offset", first.grads, offset.grads);
  }
}

TEST_CASE("no op keeps its graph alive or writes out of bounds") {
  for (const OpCase& row : op_cases()) {
    INFO(row.op, " (", row.what, ")");
    const int64_t nodes = Node::live(), violations = cpu_context().guard_violations();
    const Tensors exact = make_inputs(row, DType::f32, false);
    {
      Tensors inputs;
      for (size_t i = 0; i < exact.size(); ++i) {
        inputs.push_back(follows(row.inputs[i]) ? cast(exact[i], type_of(row.inputs[i], DType::f32)) : exact[i]);
        if (row.inputs[i].differentiable) inputs.back().set_requires_grad();
      }
      row.run(inputs);  // recorded, never differentiated
    }
    CHECK(Node::live() == nodes);
    CHECK(cpu_context().guard_violations() == violations);
  }
}

TEST_CASE("bad arguments are refused by name") {
  for (const BadCall& bad : bad_calls()) {
    INFO(bad.op, ": expected a message with \"", bad.says, "\"");
    std::string message;
    try {
      bad.call();
    } catch (const Error& error) {
      message = error.what();
    }
    INFO("got \"", message, "\"");
    CHECK(message.rfind(bad.op + ":", 0) == 0);
    CHECK(message.find(bad.says) != std::string::npos);
  }
}

}  // namespace engine::test
