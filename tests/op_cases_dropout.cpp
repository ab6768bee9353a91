#include "engine/random.h"
#include "kernels/dropout.h"
#include "kernels/philox.h"
#include "tests/op_cases.h"

namespace engine::test {
namespace {

constexpr uint64_t kSeed = 0x123456789abcdef0u;
constexpr int64_t kStep = 0x500000007;

// The mask word by word; `stream`: the number of the op in its pass.
Tensor dropped(const Tensor& input, double probability, uint32_t stream) {
  const Array x(input), y(input.shape());
  for (int64_t i = 0; i < x.elements(); ++i) {
    const auto words = philox(kSeed ^ kDropoutKey, {static_cast<uint32_t>(i / 4), 7, 5, stream});
    const double u = static_cast<double>(words[static_cast<size_t>(i % 4)] >> 8) / 16777216.0;
    y.flat(i) = u < probability ? 0.0 : x.flat(i) / (1 - probability);
  }
  return y.tensor;
}

OpCase dropout_case(const Shape& shape, double probability) {
  return {.op = "dropout",
          .what = concat(shape, " p ", probability),
          .inputs = {{shape}},
          .run =
              [=](const Tensors& in) {
                StepRandom::current().set_seed(kSeed);
                StepRandom::current().begin_step(Tensor::from<int64_t>({kStep}).to(in[0].device()));
                return Tensors{dropout(in[0], probability), dropout(in[0], probability)};
              },
          .reference =
              [=](const Tensors& in) {
                return Tensors{dropped(in[0], probability, 0), dropped(in[0], probability, 1)};
              }};
}

std::vector<OpCase> cases() {
  return {dropout_case({3}, 0.5), dropout_case({3, 5, 7}, 0.1), dropout_case({257}, 0.9), dropout_case({20001}, 0.25)};
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({4});
  return {{"dropout", "at least 0 and less than 1, got 1", [=] { dropout(x, 1.0); }},
          {"dropout", "got -0.1", [=] { dropout(x, -0.1); }},
          {"dropout", "expected a float tensor, got (4) u8", [] { dropout(Tensor::zeros({4}, DType::u8), 0.5); }}};
}

const Family dropout_family{cases, refused};

}  // namespace
}  // namespace engine::test
