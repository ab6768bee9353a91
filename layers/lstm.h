#pragma once

#include "engine/random.h"
#include "layers/module.h"

namespace engine::layers {

struct LstmOptions {
  int64_t layers = 1;
  bool bidirectional = false;
  double dropout = 0;  // between layers, in training
};

// Layers of op lstm() (kernels/lstm.h), in one or both directions: each takes what the one before gives. Parameters, as
// torch.nn.LSTM names and starts them (uniform in +-1/sqrt(hidden)): weight_ih_l0, weight_hh_l0, bias_ih_l0,
// bias_hh_l0, where there are two directions weight_ih_l0_reverse, ..., then weight_ih_l1, ...
class Lstm : public Module {
 public:
  // With D directions: y (N, T, D * hidden), the forward direction's features first; h and c (layers * D, N, hidden)
  // after the last step of every layer's every direction. c is f32 where x is bf16.
  struct Result {
    Tensor y, h, c;
  };
  Lstm(int64_t inputs, int64_t hidden, Random& random, const LstmOptions& options = {});
  std::string describe() const override { return concat("Lstm of ", options_.layers, " layers"); }

  // x (N, T, inputs); h0 and c0 like h and c, or undefined (0); lengths i64 (N), the steps that each sequence has, or
  // undefined: all T. Behind its end y is 0.
  Result operator()(const Tensor& x, const Tensor& h0, const Tensor& c0, const Tensor& lengths = {}) const;

 protected:
  Tensor forward(const Tensor& x) override { return (*this)(x, {}, {}).y; }

 private:
  LstmOptions options_;
  int64_t directions_;
  std::vector<std::array<Tensor, 4>> weights_;  // w_ih, w_hh, b_ih, b_hh of every layer's every direction
};

}  // namespace engine::layers
