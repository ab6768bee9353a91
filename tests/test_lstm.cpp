// What the rows of the case table cannot say of the LSTM: gradients of which only some are wanted, and steps behind the
// end of a row.
#include <doctest/doctest.h>

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
