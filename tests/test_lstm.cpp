// What the rows of the case table cannot say of the LSTM: gradients of which only some are wanted.
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

}  // namespace

TEST_CASE("the LSTM gives the same gradients when only some are wanted") { check_wanted(kCpu); }

TEST_CASE("CUDA: the LSTM gives the same gradients when only some are wanted") {
  if (cuda_available())
    check_wanted({DeviceType::cuda, 0});
  else
    MESSAGE("skipped: ", cuda_unavailable_reason());
}

}  // namespace engine
