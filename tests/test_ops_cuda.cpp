// Runs the case table (tests/op_cases.h) on CUDA: on a GPU, or on the CPU in the build with ENGINE_CUDA=HOST.
#include <cstdlib>
#include <map>
#include <regex>

#include "tests/cuda_device.h"
#include "tests/op_check.h"

namespace engine::test {
namespace {

// Relative L2 error allowed to any op against f64: what the design asks of each mode; a row's own bound may be tighter.
constexpr double kStrict = 1e-5, kTf32 = 1e-3, kBf16 = 1e-2;

int64_t input_elements(const OpCase& row) {
  int64_t count = 0;
  for (const Input& input : row.inputs) count += input.shape.elements();
  return count;
}

// Runs check(row) for the rows whose op matches the regular expression in ENGINE_TEST_OPS (all without one). For tools
// under which kernels take long: with ENGINE_TEST_MOST it is one row of every op, the largest whose inputs have at most
// so many elements together. A row that throws fails and does not keep the others from running.
template <class Check>
void for_each_case(const Check& check) {
  const char *const pattern = std::getenv("ENGINE_TEST_OPS"), *const most = std::getenv("ENGINE_TEST_MOST");
  std::map<std::string, const OpCase*> largest;
  for (const OpCase& row : op_cases()) {
    if (most == nullptr || input_elements(row) > std::atoll(most)) continue;
    const OpCase*& chosen = largest[row.op];
    if (chosen == nullptr || input_elements(row) > input_elements(*chosen)) chosen = &row;
  }
  for (const OpCase& row : op_cases()) {
    if (pattern != nullptr && !std::regex_match(row.op, std::regex(pattern))) continue;
    if (most != nullptr && largest[row.op] != &row) continue;
    try {
      check(row);
    } catch (const std::exception& error) {
      FAIL_CHECK(row.op, " (", row.what, "): ", std::string(error.what()));
    }
  }
}

// A row may run on the CPU a second time, so its inputs and seeds are drawn once.
struct Drawn {
  Tensors exact, seeds;
  Drawn(const OpCase& row, DType dtype, bool integers)
      : exact(make_inputs(row, dtype, integers)), seeds(make_seeds(row, outputs_of(row, exact), dtype, integers)) {}
};

}  // namespace

TEST_CASE("CUDA: f32 and bf16 stay within their bounds of f64 on the CPU") {
  if (!have_device()) return;
  for_each_case([](const OpCase& row) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      if (dtype == DType::bf16 && !row.has_bf16) continue;
      const Drawn drawn(row, dtype, false);
      const Outcome expected = evaluate(row, drawn.exact, drawn.seeds, DType::f64);
      const Outcome got = evaluate(row, drawn.exact, drawn.seeds, dtype, {kCuda});
      const bool single = dtype == DType::f32;
      check_close(row, single ? "f32 output" : "bf16 output", got.outputs, expected.outputs,
                  single ? std::min(row.f32, kStrict) : std::min(row.bf16, kBf16));
      check_close(row, single ? "f32 gradient" : "bf16 gradient", got.grads, expected.grads,
                  single ? std::min(row.f32_grad, kStrict) : row.bf16_grad);
    }
  });
}

TEST_CASE("CUDA: TF32 products stay within their bound of f64") {
  if (!have_device()) return;
  set_f32_products(F32Products::tf32);
  for_each_case([](const OpCase& row) {
    const Drawn drawn(row, DType::f32, false);
    const Outcome expected = evaluate(row, drawn.exact, drawn.seeds, DType::f64);
    const Outcome got = evaluate(row, drawn.exact, drawn.seeds, DType::f32, {kCuda});
    check_close(row, "tf32 output", got.outputs, expected.outputs, kTf32);
    check_close(row, "tf32 gradient", got.grads, expected.grads, kTf32);
  });
  set_f32_products(F32Products::strict);
}

TEST_CASE("CUDA: whole numbers give exactly the f64 result") {
  if (!have_device()) return;
  for_each_case([](const OpCase& row) {
    if (!row.exact_integers) return;
    const Drawn drawn(row, DType::f64, true);
    const Outcome expected = evaluate(row, drawn.exact, drawn.seeds, DType::f64);
    const Outcome got = evaluate(row, drawn.exact, drawn.seeds, DType::f32, {kCuda});
    check_close(row, "integer output", got.outputs, expected.outputs, 0.0);
    check_close(row, "integer gradient", got.grads, expected.grads, 0.0);
  });
}

TEST_CASE("CUDA: the same call twice, and inputs at an offset, give the same bytes") {
  if (!have_device()) return;
  for_each_case([](const OpCase& row) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      if (dtype == DType::bf16 && !row.has_bf16) continue;
      const Drawn drawn(row, dtype, false);
      const Outcome first = evaluate(row, drawn.exact, drawn.seeds, dtype, {kCuda});
      const Outcome second = evaluate(row, drawn.exact, drawn.seeds, dtype, {kCuda});
      check_same_bytes(row, "output again", first.outputs, second.outputs);
      check_same_bytes(row, "gradient again", first.grads, second.grads);
      if (row.flop > 0) continue;  // products are a library's, which may choose another algorithm at an offset
      const Outcome offset = evaluate(row, drawn.exact, drawn.seeds, dtype, {kCuda, true});
      check_same_bytes(row, "output at an offset", first.outputs, offset.outputs);
      check_same_bytes(row, "gradient at an offset", first.grads, offset.grads);
    }
  });
}

}  // namespace engine::test
