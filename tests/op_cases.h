// The case table: one row per op and shape. From a row come the forward check against a naive reference, the gradient
// check, the bounds of f32 and bf16, exact integers, repeatability, offset inputs (tests/test_ops.cpp), and the
// benchmark.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/ops.h"

namespace engine::test {

enum class Fill {
  normal,    // normal distribution, deviation 1
  positive,  // 0.5 .. 2
  off_zero,  // 0.1 .. 2 with either sign: keeps away from a kink at 0
  distinct,  // a shuffled ladder of well separated values: no two are near, so a maximum is unique
  labels,    // whole numbers 0 .. bound-1, i64
  rows,      // positive rows that sum to 1
  bytes,     // u8, 0 .. 255
};

struct Input {
  Shape shape;
  Fill fill = Fill::normal;
  bool differentiable = true;
  // The type where it does not follow the type of the case; `statistics` below is the usual one.
  std::optional<DType> dtype = std::nullopt;
  bool statistics = false;  // f32 in a bf16 case, else the type of the case
  int64_t bound = 0;        // of labels
};

using Tensors = std::vector<Tensor>;

struct OpCase {
  std::string op;    // the function of engine/ops.h
  std::string what;  // what is particular in this row
  std::vector<Input> inputs;
  // The op itself, on tensors of any float type.
  std::function<Tensors(const Tensors&)> run;
  // The same by naive loops, written independently, on f64 (and i64, u8) tensors.
  std::function<Tensors(const Tensors&)> reference;

  // Relative L2 error allowed to f32 and bf16 against f64 on the same rounded inputs; forward and gradients.
  double f32 = 1e-6, f32_grad = 2e-6;
  double bf16 = 4e-3, bf16_grad = 1.2e-2;
  bool has_bf16 = true;
  // Whole-number inputs must give exactly the f64 result: sums of products, copies, maxima.
  bool exact_integers = false;
  // Work of one forward call, for the benchmark; 0 where it is the memory traffic that counts.
  double flop = 0;
};

// All rows, sorted by op.
const std::vector<OpCase>& op_cases();

// A call that must be refused: its message has to start with the op's name and contain `says`.
struct BadCall {
  std::string op;
  std::string says;
  std::function<void()> call;
};
const std::vector<BadCall>& bad_calls();

// Adds a family's rows to the table: every tests/op_cases_*.cpp ends with one of these.
struct Family {
  Family(std::vector<OpCase> (*rows)(), std::vector<BadCall> (*bad)());
};

// ---- for writing references: an f64 tensor as a row-major array with bounds-checked indexing ----
class Array {
 public:
  explicit Array(const Shape& shape) : tensor(Tensor::zeros(shape, DType::f64)) {}
  explicit Array(const Tensor& source) : tensor(source) {}

  template <class... Indices>
  double& operator()(Indices... indices) const {
    const int64_t list[] = {static_cast<int64_t>(indices)...};
    ENGINE_CHECK(static_cast<int>(sizeof...(indices)) == tensor.rank(), "reference: wrong number of indices");
    int64_t flat = 0;
    for (int axis = 0; axis < tensor.rank(); ++axis) {
      ENGINE_CHECK(list[axis] >= 0 && list[axis] < tensor.size(axis), "reference: index out of range");
      flat = flat * tensor.size(axis) + list[axis];
    }
    return tensor.values<double>()[static_cast<size_t>(flat)];
  }
  double& flat(int64_t index) const { return tensor.values<double>()[static_cast<size_t>(index)]; }
  int64_t size(int axis) const { return tensor.size(axis); }
  int64_t elements() const { return tensor.elements(); }

  Tensor tensor;
};

}  // namespace engine::test
