#include "tests/op_run.h"

#include "engine/autograd.h"

namespace engine::test {
namespace {

Tensor fill_labels(const Input& input, Random& random) {
  const Tensor labels = Tensor::empty(input.shape, DType::i64);
  for (int64_t& label : labels.values<int64_t>())
    label = static_cast<int64_t>(random.below(static_cast<uint64_t>(input.bound)));
  return labels;
}

double draw(Fill fill, Random& random) {
  switch (fill) {
    case Fill::positive:
      return random.uniform(0.5, 2.0);
    case Fill::off_zero:
      return random.uniform(0.1, 2.0) * (random.chance(0.5) ? 1.0 : -1.0);
    case Fill::rows:
      return random.uniform(0.1, 1.0);
    default:
      return random.normal();
  }
}

}  // namespace

Random stream(const OpCase& row, const char* purpose) {
  return Random(20240917, stream_of(row.op + "/" + row.what + "/" + purpose));
}

Tensor make_input(const Input& input, DType dtype, bool integers, Random& random) {
  if (input.fill == Fill::labels) return fill_labels(input, random);
  if (input.fill == Fill::bytes) {
    const Tensor bytes = Tensor::empty(input.shape, DType::u8);
    for (uint8_t& byte : bytes.values<uint8_t>()) byte = static_cast<uint8_t>(random.below(256));
    return bytes;
  }
  const Tensor exact = Tensor::empty(input.shape, DType::f64);
  const auto values = exact.values<double>();
  for (double& value : values) value = integers ? static_cast<double>(random.below(9)) - 4.0 : draw(input.fill, random);
  if (input.fill == Fill::distinct && !integers) {
    const auto ladder = random.permutation(exact.elements());
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = (static_cast<double>(ladder[i]) + 0.5) / static_cast<double>(values.size()) * 4.0 - 2.0;
  }
  if (input.fill == Fill::rows) {
    const size_t columns = static_cast<size_t>(input.shape[-1]);
    for (size_t row = 0; row < values.size(); row += columns) {
      double total = 0;
      for (size_t c = 0; c < columns; ++c) total += values[row + c];
      for (size_t c = 0; c < columns; ++c) values[row + c] /= total;
    }
  }
  return cast(cast(exact, dtype), DType::f64);
}

DType type_of(const Input& input, DType dtype) {
  if (input.dtype) return *input.dtype;
  return input.statistics && dtype == DType::bf16 ? DType::f32 : dtype;
}

bool follows(const Input& input) { return !input.dtype || is_float(*input.dtype); }

Tensors make_inputs(const OpCase& row, DType rounding, bool integers) {
  Random random = stream(row, integers ? "integers" : "inputs");
  Tensors inputs;
  for (const Input& input : row.inputs) inputs.push_back(make_input(input, type_of(input, rounding), integers, random));
  return inputs;
}

Outcome evaluate(const OpCase& row, const Tensors& exact, const Tensors& seeds, DType dtype, Where where) {
  Tensors inputs;
  for (size_t i = 0; i < exact.size(); ++i) {
    const Input& input = row.inputs[i];
    Tensor copy = (follows(input) ? cast(exact[i], type_of(input, dtype)).clone() : exact[i]).to(where.device);
    if (where.offset) {
      const Tensor larger = Tensor::zeros({copy.elements() + 7}, copy.dtype(), where.device);
      const Tensor inside = larger.slice(3, 3 + copy.elements()).reshape(copy.shape());
      inside.copy_from(copy);
      copy = inside;
    }
    if (input.differentiable) copy.set_requires_grad();
    inputs.push_back(copy);
  }
  Outcome outcome;
  outcome.outputs = row.run(inputs);
  // Outputs share one graph, so all of them are reduced to one number before going backward.
  Tensor total;
  if (!seeds.empty())
    for (size_t k = 0; k < outcome.outputs.size(); ++k) {
      if (!outcome.outputs[k].requires_grad()) continue;
      Tensor output = outcome.outputs[k];
      if (where.device != kCpu && output.dtype() == DType::f64)
        output = cast(output, DType::f32);  // CUDA has no f64 ops
      const Tensor term = sum(mul(output, cast(seeds[k], output.dtype()).to(where.device)));
      total = total ? add(total, cast(term, total.dtype())) : term;
    }
  if (total) total.backward();
  for (size_t i = 0; i < inputs.size(); ++i)
    if (row.inputs[i].differentiable) {
      const Tensor grad = inputs[i].grad();
      outcome.grads.push_back(grad ? grad.to(kCpu) : grad);
    }
  for (Tensor& output : outcome.outputs) output = output.detach().to(kCpu);
  return outcome;
}

Tensors make_seeds(const OpCase& row, const Tensors& outputs, DType rounding, bool integers) {
  Random random = stream(row, "seeds");
  Tensors seeds;
  for (const Tensor& output : outputs)
    seeds.push_back(make_input({output.shape(), Fill::normal}, rounding, integers, random));
  return seeds;
}

Tensors outputs_of(const OpCase& row, const Tensors& exact) {
  const NoGrad no_grad;
  return evaluate(row, exact, {}, DType::f64, {}).outputs;
}

}  // namespace engine::test
