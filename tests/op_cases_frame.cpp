#include "tests/op_cases.h"

namespace engine::test {
namespace {

// The second input is there for its type, which is the result's.
OpCase frame_case(const Shape& shape, const std::vector<double>& mean, const std::vector<double>& deviation) {
  return {.op = "normalize_frames",
          .what = concat(shape),
          .inputs = {{shape, Fill::bytes, false, DType::u8}, {{1}, Fill::normal, false}},
          .run = [=](const Tensors& in) { return Tensors{normalize_frames(in[0], mean, deviation, in[1].dtype())}; },
          .reference =
              [=](const Tensors& in) {
                const Array y(in[0].shape());
                for (size_t i = 0; i < in[0].values<uint8_t>().size(); ++i) {
                  const size_t c = i % mean.size();
                  y.flat(static_cast<int64_t>(i)) = (in[0].values<uint8_t>()[i] - mean[c]) / deviation[c];
                }
                return Tensors{y.tensor};
              }};
}

std::vector<OpCase> cases() {
  const std::vector<double> mean{123.675, 116.28, 103.53}, deviation{58.395, 57.12, 57.375};
  std::vector<double> many, spread;
  for (int c = 0; c < 16; ++c) {
    many.push_back(90.5 + 3 * c);
    spread.push_back(40.25 + c);
  }
  return {frame_case({2, 3, 5, 7, 3}, mean, deviation), frame_case({67, 53, 3}, mean, deviation),
          frame_case({3}, mean, deviation), frame_case({9, 1}, {127.5}, {127.5}), frame_case({5, 16}, many, spread)};
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 3}, DType::u8);
  return {{"normalize_frames", "one mean and one deviation per channel of x (2,3)",
           [=] {
             normalize_frames(x, {1, 2}, {1, 2});
           }},
          {"normalize_frames", "got 3 and 2",
           [=] {
             normalize_frames(x, {1, 2, 3}, {1, 2});
           }},
          {"normalize_frames", "deviation of channel 1 must be positive, got 0",
           [=] {
             normalize_frames(x, {1, 2, 3}, {1, 0, 2});
           }},
          {"normalize_frames", "expected u8 pixels",
           [] {
             normalize_frames(Tensor::zeros({2, 3}), {0, 0, 0}, {1, 1, 1});
           }},
          {"normalize_frames", "the result is a float tensor, not i64", [=] {
             normalize_frames(x, {0, 0, 0}, {1, 1, 1}, DType::i64);
           }}};
}

const Family frame_family{cases, refused};

}  // namespace
}  // namespace engine::test
