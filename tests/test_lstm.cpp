// What the rows of the case table cannot say of the LSTM: gradients of which only some are wanted, steps behind the end
// of a row, and so many hidden units that the CPU transposes their weights first.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "engine/ops.h"
#include "engine/random.h"

namespace engine {
namespace {

// The gradients of x, w_ih, w_hh, b_ih, b_hh, h0 and c0 where `wanted`, on the CPU.
std::vector<Tensor> gradients(Device device, bool reverse, const std::vector<bool>& wanted) {
  Random random(21);
  std::vector<Tensor> in;
  for (const Shape& shape : {Shape{3, 4, 5}, {24, 5}, {24, 6}, {24}, {24}, {3, 6}, {3, 6}}) {
    in.push_back(normal(shape, 0, 0.5, random).to(device));
    in.back().set_requires_grad(wanted[in.size() - 1]);
  }
  const std::vector<Tensor> out = lstm(in[0], in[1], in[2], in[3], in[4], in[5], in[6], {reverse});
  add(add(sum(square(out[0])), sum(out[1])), sum(out[2])).backward();
  std::vector<Tensor> grads;
  for (const Tensor& each : in) grads.push_back(each.grad() ? each.grad().to(kCpu) : Tensor());
  return grads;
}

void check_wanted(Device device) {
  for (const bool reverse : {false, true}) {
    const std::vector<Tensor> all = gradients(device, reverse, std::vector<bool>(7, true));
    for (const std::vector<bool>& wanted : {std::vector<bool>{true, false, false, false, false, false, false},
                                            {false, true, true, true, true, false, false},
                                            {false, false, false, false, true, true, false},
                                            {false, false, true, false, false, false, true}}) {
      const std::vector<Tensor> some = gradients(device, reverse, wanted);
      for (size_t i = 0; i < all.size(); ++i) {
        INFO("input ", i, reverse ? ", reverse" : "");
        REQUIRE(some[i].defined() == wanted[i]);
        if (wanted[i]) CHECK(std::memcmp(some[i].memory(), all[i].memory(), all[i].bytes()) == 0);
      }
    }
  }
}

// What rows of 0, 2, 4 and 3 of 4 steps give, and the gradients, where x has `padding` at the others.
std::vector<Tensor> with_padding(Device device, bool reverse, double padding) {
  constexpr int64_t kSteps = 4, kInputs = 5, kHidden = 6;
  const std::vector<int64_t> lengths{0, 2, 4, 3};
  Random random(22);
  std::vector<Tensor> in;
  for (const Shape& shape : {Shape{4, kSteps, kInputs}, {24, kInputs}, {24, kHidden}, {24}, {24}, {4, 6}, {4, 6}})
    in.push_back(normal(shape, 0, 0.5, random));
  for (size_t n = 0; n < lengths.size(); ++n)
    for (int64_t i = lengths[n] * kInputs; i < kSteps * kInputs; ++i)
      in[0].values<float>()[n * kSteps * kInputs + static_cast<size_t>(i)] = static_cast<float>(padding);
  for (Tensor& each : in) {
    each = each.to(device);
    each.set_requires_grad();
  }
  const std::vector<Tensor> out =
      lstm(in[0], in[1], in[2], in[3], in[4], in[5], in[6], {reverse}, Tensor::from(lengths, {4}).to(device));
  add(add(sum(affine(out[0], 3, 1)), sum(square(out[1]))), sum(out[2])).backward();
  std::vector<Tensor> all;
  for (const Tensor& each : out) all.push_back(each.to(kCpu));
  for (const Tensor& each : in) all.push_back(each.grad().to(kCpu));
  for (const auto& [each, width] : {std::pair{all[0], kHidden}, {all[3], kInputs}})  // y and dx
    for (size_t n = 0; n < lengths.size(); ++n)
      for (int64_t i = lengths[n] * width; i < kSteps * width; ++i)
        CHECK(each.values<float>()[n * static_cast<size_t>(kSteps * width) + static_cast<size_t>(i)] == 0.0f);
  return all;
}

void check_padding(Device device) {
  for (const bool reverse : {false, true}) {
    const std::vector<Tensor> zeros = with_padding(device, reverse, 0), others = with_padding(device, reverse, 7.5);
    for (size_t i = 0; i < zeros.size(); ++i) {
      INFO("result ", i, reverse ? ", reverse" : "");
      CHECK(std::memcmp(zeros[i].memory(), others[i].memory(), zeros[i].bytes()) == 0);
    }
  }
}

}  // namespace

TEST_CASE("an LSTM with many hidden units is the plain recurrence") {
  constexpr int64_t kRows = 3, kSteps = 3, kInputs = 5, kHidden = 259;
  Random random(23);
  std::vector<Tensor> in;
  for (const Shape& shape :
       {Shape{kRows, kSteps, kInputs}, {4 * kHidden, kInputs}, {4 * kHidden, kHidden}, {4 * kHidden}, {4 * kHidden}})
    in.push_back(normal(shape, 0, 0.1, random, DType::f64));
  const auto x = in[0].values<double>(), w_ih = in[1].values<double>(), w_hh = in[2].values<double>(),
             b_ih = in[3].values<double>(), b_hh = in[4].values<double>();
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  std::vector<double> expected;
  for (size_t n = 0; n < kRows; ++n) {
    std::vector<double> h(kHidden), c(kHidden), gates(4 * kHidden);
    for (size_t t = 0; t < kSteps; ++t) {
      for (size_t k = 0; k < gates.size(); ++k) {
        gates[k] = b_ih[k] + b_hh[k];
        for (size_t j = 0; j < kInputs; ++j) gates[k] += w_ih[k * kInputs + j] * x[(n * kSteps + t) * kInputs + j];
        for (size_t j = 0; j < kHidden; ++j) gates[k] += w_hh[k * kHidden + j] * h[j];
      }
      for (size_t k = 0; k < kHidden; ++k) {
        c[k] = sigmoid(gates[kHidden + k]) * c[k] + sigmoid(gates[k]) * std::tanh(gates[2 * kHidden + k]);
        h[k] = sigmoid(gates[3 * kHidden + k]) * std::tanh(c[k]);
      }
      expected.insert(expected.end(), h.begin(), h.end());
    }
  }
  for (const DType dtype : {DType::f64, DType::f32}) {
    std::vector<Tensor> as;
    for (const Tensor& each : in) as.push_back(cast(each, dtype));
    const Tensor y = cast(lstm(as[0], as[1], as[2], as[3], as[4])[0], DType::f64);
    // A sum of n products is off by n times the rounding of each at most; these add up to no more than 26, the mean of
    // |w_hh| being 0.08, and gates pass on a quarter of it, tanh all.
    const double rounding = dtype == DType::f64 ? 0x1p-53 : 0x1p-24;
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(y.values<double>()[i] - expected[i]));
    CAPTURE(dtype);
    CHECK(worst <= 26 * (kHidden + kInputs) * rounding);
  }
}

TEST_CASE("what stands behind the end of a row has no influence on the LSTM") { check_padding(kCpu); }

TEST_CASE("CUDA: what stands behind the end of a row has no influence on the LSTM") {
  if (cuda_available())
    check_padding({DeviceType::cuda, 0});
  else
    MESSAGE("skipped: ", cuda_unavailable_reason());
}

TEST_CASE("the LSTM gives the same gradients when only some are wanted") { check_wanted(kCpu); }

TEST_CASE("CUDA: the LSTM gives the same gradients when only some are wanted") {
  if (cuda_available())
    check_wanted({DeviceType::cuda, 0});
  else
    MESSAGE("skipped: ", cuda_unavailable_reason());
}

}  // namespace engine
