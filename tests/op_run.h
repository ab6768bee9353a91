// Inputs of the case table's rows, and running a row.
#pragma once

#include "engine/random.h"
#include "tests/op_cases.h"

namespace engine::test {

// The random stream of one row, for one purpose.
Random stream(const OpCase& row, const char* purpose);

// The type of an input in a case of type `dtype`, and whether it follows that type at all.
DType type_of(const Input& input, DType dtype);
bool follows(const Input& input);

// The input's values in f64 (or its integer type), already rounded to what `dtype` can hold.
Tensor make_input(const Input& input, DType dtype, bool integers, Random& random);
// The inputs of a case rounded to `rounding`, in f64.
Tensors make_inputs(const OpCase& row, DType rounding, bool integers);
// One weight for every element of the outputs, likewise.
Tensors make_seeds(const OpCase& row, const Tensors& outputs, DType rounding, bool integers);

struct Where {
  Device device = kCpu;
  bool offset = false;  // every input starts in the middle of a larger tensor
};

struct Outcome {
  Tensors outputs, grads;  // on the CPU; grads: one per differentiable input
};

// Runs the op on copies of `exact` in type `dtype` and differentiates sum(seed * output) over all float outputs;
// without seeds it only runs the op.
Outcome evaluate(const OpCase& row, const Tensors& exact, const Tensors& seeds, DType dtype, Where where = {});
// The outputs in f64 on the CPU.
Tensors outputs_of(const OpCase& row, const Tensors& exact);

}  // namespace engine::test
