#pragma once

#include "engine/random.h"
#include "layers/module.h"

namespace engine::layers {

// f(x * weight + bias) (kernels/conv.h): x (N, T, H, W, inputs) -> (N, O, P, Q, outputs). Parameters: weight (outputs,
// kernel..., inputs / groups), bias (outputs). A kernel that sees one frame at a time (1xRxS), or one place of the
// frame (Ux1x1), runs as conv2d: on the frames as images, or on a clip as an image of height T and width H W.
class Conv3d : public Module {
 public:
  struct Options {
    Space kernel = {3, 3, 3};
    engine::Conv3d conv = {.pad_t = 1, .pad_h = 1, .pad_w = 1};
    bool bias = true;
    Unary activation = {Unary::affine};  // nothing, or relu
  };
  Conv3d(int64_t inputs, int64_t outputs, Random& random, const Options& options);

  std::string describe() const override;

 protected:
  Tensor forward(const Tensor& x) override;

 private:
  Options options_;
  Tensor weight_, bias_;
};

}  // namespace engine::layers
