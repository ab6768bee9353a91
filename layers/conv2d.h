#pragma once

#include "engine/random.h"
#include "layers/module.h"

namespace engine::layers {

// f(x * weight + bias) (kernels/conv.h): x (N, H, W, inputs) -> (N, P, Q, outputs). Parameters: weight (outputs,
// kernel_h, kernel_w, inputs / groups), bias (outputs).
class Conv2d : public Module {
 public:
  struct Options {
    int64_t kernel_h = 3, kernel_w = 3;
    engine::Conv2d conv = {.pad_h = 1, .pad_w = 1};
    bool bias = true;
    Unary activation = {Unary::affine};  // nothing, or relu
  };
  Conv2d(int64_t inputs, int64_t outputs, Random& random);  // 3x3, same size, no activation
  Conv2d(int64_t inputs, int64_t outputs, Random& random, const Options& options);

  std::string describe() const override;

 protected:
  Tensor forward(const Tensor& x) override { return conv2d(x, weight_, bias_, options_.conv, options_.activation); }

 private:
  Options options_;
  Tensor weight_, bias_;
};

}  // namespace engine::layers
